// Pooling as layers.

import Tensors

/// What becomes of windows of (batch, channels, …), with or without the batch: their largest element, mean, or norm.
public class Pooling: Layer {}

extension Pooling {
  private static let kernel = Parameter("kernel_size", .integers)
  private static let stride = Parameter("stride", .integers, optional: true)
  private static func sizes(_ name: String, _ text: String) -> Parameter { Parameter(name, .integers, default: text) }
  private static let returns = Parameter("return_indices", .boolean, default: "false")
  private static let ceil = Parameter("ceil_mode", .boolean, default: "false")

  /// A stride that is absent is the window's size.
  private static func strideIsKernel(_ settings: inout Settings) throws {
    if case .none = try settings.value("stride") { try settings.replace("stride", settings.value("kernel_size")) }
  }

  private static func maximum(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      "MaxPool\(rank)d", "The largest element of each window; with return_indices also where in its channel each was.",
      [kernel, stride, sizes("padding", "0"), sizes("dilation", "1"), returns, ceil], by: "max_pool\(rank)d",
      prints: [.named("kernel_size"), .named("stride"), .named("padding"), .named("dilation"), .named("ceil_mode")], samples: samples,
      complete: strideIsKernel)
  }

  private static func mean(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      "AvgPool\(rank)d", "The mean of each window, with the zeros of its padding unless count_include_pad is false.",
      [kernel, stride, sizes("padding", "0"), ceil, Parameter("count_include_pad", .boolean, default: "true")]
        + (rank > 1 ? [Parameter("divisor_override", .integer, optional: true)] : []),
      by: "avg_pool\(rank)d", rank: rank == 1 ? 1 : 0, prints: [.named("kernel_size"), .named("stride"), .named("padding")],
      samples: samples, complete: strideIsKernel)
  }

  private static func adaptive(_ name: String, _ operation: String, _ summary: String, returnsIndices: Bool, _ samples: [ModuleSample])
    -> LayerRow
  {
    LayerRow(
      name, summary, [Parameter("output_size", .integers)] + (returnsIndices ? [returns] : []), by: operation,
      prints: [.named("output_size")], samples: samples)
  }

  private static func norm(_ rank: Int, _ samples: [ModuleSample]) -> LayerRow {
    LayerRow(
      "LPPool\(rank)d", "The norm_type-th root of the sum of the powers of each window's elements.",
      [Parameter("norm_type", .number), kernel, stride, ceil], by: "lp_pool\(rank)d",
      prints: [.named("norm_type"), .named("kernel_size"), .named("stride"), .named("ceil_mode")], samples: samples)
  }

  private static let table: [LayerRow] =
    [
      maximum(
        1,
        [
          ModuleSample([.integer(2)], [.float(1, 2, 7)]), ModuleSample([.integer(3), .integer(1), .integer(1)], [.float(2, 5)]),
          ModuleSample([.integer(3), .integer(2), .integer(1), .integer(2), .flag(false), .flag(true)], [.float(1, 2, 10)]),
        ]),
      maximum(
        2,
        [
          ModuleSample([.integer(2)], [.float(1, 2, 4, 6)]),
          ModuleSample([.list([3, 2]), .list([2, 1]), .list([1, 0]), .integer(1), .flag(false), .flag(true)], [.float(1, 2, 6, 5)]),
          ModuleSample([.integer(2), .absent, .integer(0), .integer(1), .flag(true)], [.float(1, 1, 4, 4)]),
          ModuleSample([.integer(3), .list([1, 2]), .integer(1), .list([2, 1])], [.float(2, 7, 6)]),
        ]),
      maximum(
        3,
        [
          ModuleSample([.integer(2)], [.float(1, 1, 4, 4, 4)]),
          ModuleSample(
            [.list([1, 2, 3]), .list([2, 1, 2]), .list([0, 1, 1]), .list([1, 2, 1]), .flag(false), .flag(true)], [.float(1, 3, 4, 4)]),
        ]),
      mean(
        1,
        [
          ModuleSample([.integer(2)], [.float(1, 2, 7)]), ModuleSample([.integer(3), .integer(1), .integer(1)], [.float(2, 5)]),
          ModuleSample([.integer(3), .integer(2), .integer(1), .flag(true), .flag(false)], [.float(1, 2, 8)]),
        ]),
      mean(
        2,
        [
          ModuleSample([.integer(2)], [.float(1, 2, 4, 6)]),
          ModuleSample([.list([3, 2]), .list([2, 1]), .list([1, 0]), .flag(true), .flag(false)], [.float(1, 2, 6, 5)]),
          ModuleSample([.integer(2), .integer(2), .integer(0), .flag(false), .flag(true), .integer(3)], [.float(2, 4, 4)]),
        ]),
      mean(
        3,
        [
          ModuleSample([.integer(2)], [.float(1, 1, 4, 4, 4)]),
          ModuleSample([.list([2, 1, 3]), .list([1, 2, 2]), .list([1, 0, 1]), .flag(true), .flag(false)], [.float(1, 3, 3, 4)]),
          ModuleSample([.integer(2), .integer(1), .integer(0), .flag(false), .flag(true), .integer(5)], [.float(1, 1, 2, 3, 3)]),
        ]),
      norm(
        1,
        [
          ModuleSample([.number(2), .integer(3)], [.float(1, 2, 7)]),
          ModuleSample([.number(1.5), .integer(3), .integer(2), .flag(true)], [.float([2, 8], 0.2...2)]),
        ]),
      norm(2, [ModuleSample([.number(3), .list([2, 3]), .integer(2)], [.float([1, 2, 6, 6], 0.2...2)])]),
    ]
    + (1...3).flatMap { rank -> [LayerRow] in
      let sizes = Array([7, 5, 4].prefix(rank))
      return [
        adaptive(
          "AdaptiveAvgPool\(rank)d", "adaptive_avg_pool\(rank)d", "The means of output_size windows that cover the input.",
          returnsIndices: false,
          [
            ModuleSample([.integer(3)], [.float([2, 2] + sizes, -2...2)]),
            ModuleSample([.list(Array([2, 1, 3].prefix(rank)))], [.float([2] + sizes, -2...2)]),
          ]),
        adaptive(
          "AdaptiveMaxPool\(rank)d", "adaptive_max_pool\(rank)d", "The largest elements of output_size windows that cover the input.",
          returnsIndices: true,
          [
            ModuleSample([.integer(3)], [.float([2, 2] + sizes, -2...2)]),
            ModuleSample([.list(Array([3, 2, 3].prefix(rank))), .flag(true)], [.float([1] + sizes, -2...2)]),
          ]),
      ]
    }

  static let kinds = table.map { $0.kind(Pooling.self) }
}
