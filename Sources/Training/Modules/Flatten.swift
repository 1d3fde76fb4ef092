// Merging dimensions between layers.

import Tensors

/// Merges the dimensions from `start` through `end` into one; by default all but the first, which counts the batch.
public final class Flatten: Module {
  /// The first and the last of the dimensions to merge, as given.
  public let start: Int
  /// The last of the dimensions to merge, as given.
  public let end: Int

  /// Dimensions count from 0; negative ones from the end.
  public init(start: Int = 1, end: Int = -1) {
    self.start = start
    self.end = end
    super.init(kind: "Flatten")
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try x.flatten(start, end) }

  package override func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? {
    guard let operation = TensorOperation.named("flatten"), inputs.count == 1 else { return nil }
    return (operation, Arguments(kind, [.tensor(inputs[0]), .integer(start), .integer(end)]))
  }

  public override func extraDescription(indexBase base: Int) -> String {
    "start_dim=\(shifted(start, base)), end_dim=\(shifted(end, base))"
  }

  static let kinds = [
    ModuleKind(
      "Flatten", "Merges the dimensions from start_dim through end_dim into one; by default all but the first.", of: Flatten.self,
      [.init("start_dim", .dimension, default: "1"), .init("end_dim", .dimension, default: "-1")],
      fields: [("start_dim", { .index($0.start) }), ("end_dim", { .index($0.end) })],
      samples: [ModuleSample([], [.float(2, 3, 4)]), ModuleSample([.integer(0), .integer(1)], [.float(2, 3, 4)])]
    ) { Flatten(start: try $0.integer(0, default: 1), end: try $0.integer(1, default: -1)) }
  ]
}
