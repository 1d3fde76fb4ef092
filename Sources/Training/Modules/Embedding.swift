// A table of vectors, looked up by whole numbers.

import Tensors

/// Row `i` of a weight `(entries, width)` for each number `i`: from any shape of whole numbers to that shape and `width`.
public final class Embedding: Module {
  /// Number of vectors.
  public let entries: Int
  /// Number of elements of each.
  public let width: Int
  /// The entry that starts as zeros and never gets a gradient, counted from 0.
  public let padding: Int?
  /// `(entries, width)`.
  public private(set) var weight: Tensor

  /// Initial values are standard normal, as PyTorch draws them. `padding` may be negative, counting from the end.
  public init(_ entries: Int, _ width: Int, padding: Int? = nil, dtype: DType? = nil) throws {
    let shape = try Shape([entries, width], operation: "Embedding")
    if let padding, padding < -entries || padding >= entries {
      throw TensorError(.index, "Embedding", "padding_idx \(index: padding) is not one of the \(entries) entries")
    }
    self.entries = entries
    self.width = width
    self.padding = padding.map { $0 < 0 ? $0 + entries : $0 }
    weight = try Tensor.zeros(shape, dtype: dtype ?? DType.defaultFloating).normal()
    if let row = self.padding { try weight.select(0, row).fill(.integer(0)) }
    try weight.markParameter()
    super.init(kind: "Embedding", inputs: [Parameter("input", .indices)])
  }

  public override var parameters: [(name: String, tensor: Tensor?)] { [("weight", weight)] }

  public override func set(parameter name: String, _ tensor: Tensor?) throws {
    if name == "weight" { weight = try checked(required: name, tensor) } else { try super.set(parameter: name, tensor) }
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard x.dtype == .int64 || x.dtype == .int32 else {
      throw TensorError(.dtype, kind, "the entries to look up must be whole numbers (int64 or int32), got a tensor of \(x.dtype)")
    }
    guard weight.rank == 2 else {
      throw TensorError(.shape, kind, "the weight must be a matrix (entries, width), got shape \(weight.shape)")
    }
    let (rows, width) = (weight.shape[0], weight.shape[1])
    let flat = try x.to(.int64).reshape([-1])
    guard try flat.liesWithin(rows) else {
      let entry = (0..<flat.count).lazy.map { Int(flat.element($0).integer) }.first { $0 < 0 || $0 >= rows } ?? 0
      throw TensorError(.index, kind, "entry \(index: entry) is not one of the \(rows) entries of the table")
    }
    let found = try withNoGrad { try weight.indexSelect(0, flat).reshape(x.shape.array + [width]) }
    return try found.recorded(Lookup(entries: rows, paddingIdx: padding, size: found.shape), weight, other: flat)
  }

  /// Rows of a table; the entry `paddingIdx` gets no gradient.
  private struct Lookup: Operation {
    let entries: Int
    let paddingIdx: Int?
    let size: Shape

    var nodeName: String { "EmbeddingBackward0" }
    var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .input(1)] }
    func uses(_ number: Int) -> Uses { .b }

    func gradient(_ c: inout Backward) throws {
      let indices = try c.b
      let width = size[size.rank - 1]
      var gradient = try c.g.reshape([-1, width])
      if let paddingIdx { gradient = try gradient.maskedFill(indices.eq(Double(paddingIdx)).unsqueeze(1), .integer(0)) }
      c[0] = try Tensor.zeros([entries, width], dtype: gradient.dtype).indexAdd(0, indices, gradient)
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] {
      let found = try withNoGrad { try inputs[0].indexSelect(0, inputs[1]).reshape(size) }
      return [try found.recorded(self, inputs[0], other: inputs[1])]
    }
  }

  public override func extraDescription(indexBase base: Int) -> String {
    "\(entries), \(width)" + (padding.map { ", padding_idx=\(shifted($0, base))" } ?? "")
  }

  static let kinds = [
    ModuleKind(
      "Embedding", "A table of num_embeddings vectors of size embedding_dim, looked up by whole numbers.", of: Embedding.self,
      [
        .init("num_embeddings", .integer), .init("embedding_dim", .integer), .init("padding_idx", .index, optional: true), .dtype,
      ],
      fields: [
        ("num_embeddings", { .integer($0.entries) }), ("embedding_dim", { .integer($0.width) }),
        ("padding_idx", { $0.padding.map { .index($0) } ?? .none }),
      ],
      samples: [
        ModuleSample([.integer(5), .integer(3)], [.positions([4], 0...4)]),
        ModuleSample([.integer(5), .integer(3), .integer(1)], [.positions([2, 3], 0...4)]),
      ]
    ) { try Embedding(try $0.integer(0), try $0.integer(1), padding: try $0.optionalInteger(2), dtype: try $0.dtype(3)) }
  ]
}
