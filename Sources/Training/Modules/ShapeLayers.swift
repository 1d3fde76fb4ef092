// Layers that move elements: padding, windows as columns, channels as places, other sizes.

import Tensors

/// A layer without parameters that gives elements other places.
public final class Rearrangement: Layer {}

extension Rearrangement {
  private static func sizes(_ name: String, _ text: String = "") -> Parameter { Parameter(name, .integers, default: text) }

  /// Room around the last dimensions, one row for each number of them.
  private static func padding(
    _ name: String, _ summary: String, _ mode: String, hasValue: Bool = false, ranks: ClosedRange<Int> = 1...3
  ) -> [LayerRow] {
    ranks.map { rank in
      var constants: [String: Argument] = ["mode": .string(mode)]
      if mode == "constant", !hasValue { constants["value"] = .number(.real(0)) }
      let image = [1, 2] + Array([6, 5, 4].prefix(rank))
      let margins = Array([1, 2, 0, 1, 2, 1].prefix(2 * rank))
      return LayerRow(
        "\(name)\(rank)d", summary + " padding is a size, or those before and after each of the last \(rank) dimensions, the last first.",
        [sizes("padding")] + (hasValue ? [Parameter("value", .number)] : []), by: "pad", renamed: ["pad": "padding"],
        constants: constants, rank: 2 * rank, prints: hasValue ? [.named("padding"), .named("value")] : [.value("padding")],
        samples: [
          ModuleSample(Sample([.integer(1)] + (hasValue ? [.number(3.5)] : [])), Sample([.float(image, -2...2)])),
          ModuleSample(Sample([.list(margins)] + (hasValue ? [.number(-0.5)] : [])), Sample([.float(image, -2...2)])),
        ])
    }
  }

  private static let table: [LayerRow] =
    padding("ZeroPad", "Zeros around the input.", "constant")
    + padding("ConstantPad", "A value around the input.", "constant", hasValue: true)
    + padding("ReflectionPad", "The input's elements reflected at its borders.", "reflect")
    + padding("ReplicationPad", "The input's border repeated.", "replicate")
    + padding("CircularPad", "The input's elements from its other end.", "circular")
    + [
      LayerRow(
        "PixelShuffle", "upscale_factor² channels as a square of places each.", [Parameter("upscale_factor", .integer)],
        by: "pixel_shuffle", prints: [.named("upscale_factor")], samples: [ModuleSample([.integer(2)], [.float(1, 8, 2, 3)])]),
      LayerRow(
        "PixelUnshuffle", "Squares of downscale_factor² places as channels.", [Parameter("downscale_factor", .integer)],
        by: "pixel_unshuffle", prints: [.named("downscale_factor")], samples: [ModuleSample([.integer(2)], [.float(1, 2, 4, 6)])]),
      LayerRow(
        "ChannelShuffle", "Channels dealt out to groups in turn.", [Parameter("groups", .integer)], by: "channel_shuffle",
        prints: [.named("groups")], samples: [ModuleSample([.integer(2)], [.float(1, 4, 2, 2)])]),
      LayerRow(
        "Unfold", "Each window of images as a column: (batch, channels · taps, places).",
        [sizes("kernel_size"), sizes("dilation", "1"), sizes("padding", "0"), sizes("stride", "1")], by: "functional.unfold",
        prints: [.named("kernel_size"), .named("dilation"), .named("padding"), .named("stride")],
        samples: [
          ModuleSample([.integer(2)], [.float(1, 2, 3, 4)]),
          ModuleSample([.list([2, 3]), .integer(1), .integer(1), .integer(2)], [.float(1, 2, 5, 4)]),
          ModuleSample([.list([1, 3]), .list([2, 1]), .list([1, 0]), .list([1, 2])], [.float(2, 3, 5)]),
        ]),
      LayerRow(
        "Fold", "Columns added up where Unfold took them from images of output_size.",
        [sizes("output_size"), sizes("kernel_size"), sizes("dilation", "1"), sizes("padding", "0"), sizes("stride", "1")], by: "fold",
        prints: [.named("output_size"), .named("kernel_size"), .named("dilation"), .named("padding"), .named("stride")],
        samples: [
          ModuleSample([.list([3, 4]), .integer(2)], [.float(1, 8, 6)]),
          ModuleSample([.list([4, 5]), .list([2, 3]), .list([2, 1]), .list([1, 0]), .list([2, 1])], [.float(1, 12, 6)]),
        ]),
      LayerRow(
        "Upsample",
        "(batch, channels, …) made larger or smaller, to a size or by scale_factor, by a mode: \"nearest\", \"linear\", \"bilinear\", \"bicubic\", \"trilinear\".",
        [
          Parameter("size", .integers, optional: true), Parameter("scale_factor", .numbers, optional: true),
          Parameter("mode", .string, default: "\"nearest\"").oneOf(
            "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"),
          Parameter("align_corners", .boolean, optional: true),
          Parameter("recompute_scale_factor", .boolean, optional: true),
        ], by: "interpolate", prints: [.unless("scale_factor", "None"), .unless("size", "None"), .quoted("mode")],
        samples: [
          ModuleSample([.absent, .number(2)], [.float(1, 2, 3, 3)]),
          ModuleSample([.list([5, 4]), .absent, .text("bilinear"), .flag(true)], [.float(1, 2, 3, 3)]),
          ModuleSample([.integer(5), .absent, .text("linear")], [.float(1, 2, 3)]),
          ModuleSample([.list([4, 3]), .absent, .text("bicubic")], [.float(1, 1, 3, 4)]),
          ModuleSample([.absent, .number(2), .text("trilinear")], [.float(1, 1, 2, 1, 3)]),
        ]),
      LayerRow(
        "Unflatten", "One dimension as several, of the sizes unflattened_size.",
        [Parameter("dim", .dimension), Parameter("unflattened_size", .shape)], by: "unflatten", renamed: ["sizes": "unflattened_size"],
        prints: [.named("dim"), .named("unflattened_size")], samples: [ModuleSample([.integer(1), .list([2, 3])], [.float(2, 6)])]),
    ]

  static let kinds = table.map { $0.kind(Rearrangement.self) }
}
