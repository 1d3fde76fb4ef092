// Tables of vectors, looked up by whole numbers one by one or a bag at a time.

import Tensors

/// Row `i` of a weight `(entries, width)` for each number `i`, from any shape of whole numbers to that shape and `width`; or the sum,
/// mean or maximum of the rows that each bag names.
public final class Embedding: Layer {
  /// A table of so many vectors. Initial values are standard normal, as PyTorch draws them; the entry `padding`, which may be negative,
  /// counting from the end, starts as zeros and gets no gradient.
  public convenience init(_ entries: Int, _ width: Int, padding: Int? = nil, maxNorm: Double? = nil, dtype: DType? = nil) throws {
    try self.init(
      Embedding.table[0],
      Arguments(
        "Embedding",
        [
          .integer(entries), .integer(width), padding.map { .integer($0) } ?? .absent, maxNorm.map { .number(.real($0)) } ?? .absent,
          .absent,
          .absent, .absent, dtype.map { .dtype($0) } ?? .absent,
        ]))
  }

  /// `(entries, width)`.
  public var weight: Tensor { tensor("weight")! }
}

extension Embedding {
  private static func flag(_ name: String) -> Parameter { Parameter(name, .boolean, default: "false") }
  private static let (entries, width) = (Parameter("num_embeddings", .integer), Parameter("embedding_dim", .integer))
  private static let padding = Parameter("padding_idx", .index, optional: true)
  private static let norms = [Parameter("max_norm", .number, optional: true), Parameter("norm_type", .number, default: "2.0")]

  /// padding_idx counted from the beginning.
  private static func complete(_ settings: inout Settings) throws {
    let count = try settings.integer("num_embeddings", atLeast: 0)
    if try settings.flag("sparse") {
      throw TensorError(.argument, settings.kind, "there are no sparse gradients; leave sparse out")
    }
    guard case .index(let padding) = try settings.value("padding_idx") else { return }
    guard padding >= -count, padding < count else {
      throw TensorError(.index, settings.kind, "padding_idx \(index: padding) is not one of the \(count) entries")
    }
    try settings.replace("padding_idx", .index(padding < 0 ? padding + count : padding))
  }

  private static func weight(_ settings: Settings, _ dtype: DType?) throws -> [Layer.Slot] {
    let shape = try Shape([settings.integer("num_embeddings"), settings.integer("embedding_dim", atLeast: 0)], operation: settings.kind)
    let weight = try Tensor.zeros(shape, dtype: dtype ?? DType.defaultFloating).normal()
    if case .index(let padding) = try settings.value("padding_idx") { try weight.select(0, padding).fill(.integer(0)) }
    return [try .parameter("weight", weight)]
  }

  private static let table: [LayerRow] = [
    LayerRow(
      "Embedding",
      "A table of num_embeddings vectors of size embedding_dim, looked up by whole numbers. The entry padding_idx starts as zeros and gets no gradient; rows that are looked up are scaled down to max_norm first.",
      [entries, width, padding] + norms + [flag("scale_grad_by_freq"), flag("sparse"), .dtype],
      inputs: [Parameter("input", .indices)], by: "embedding",
      prints: [
        .value("num_embeddings"), .value("embedding_dim"), .unless("padding_idx", "None"), .unless("max_norm", "None"),
        .unlessDefault("norm_type"), .unlessDefault("scale_grad_by_freq"),
      ],
      samples: [
        ModuleSample([.integer(5), .integer(3)], [.positions([4], 0...4)]),
        ModuleSample([.integer(5), .integer(3), .integer(1)], [.positions([2, 3], 0...4)]),
        ModuleSample([.integer(5), .integer(3), .absent, .number(0.75), .number(1), .flag(true)], [.positions([2, 3], 0...4)]),
      ], complete: complete, state: weight),
    LayerRow(
      "EmbeddingBag",
      "The mean, sum or max of the vectors that each bag names: from (bags, entries of each), or from a vector of entries and the positions at which bags begin, to (bags, embedding_dim).",
      [entries, width] + norms + [
        flag("scale_grad_by_freq"), Parameter("mode", .string, default: "\"mean\"").oneOf("sum", "mean", "max"), flag("sparse"),
        flag("include_last_offset"), padding, .dtype,
      ],
      inputs: [
        Parameter("input", .indices), Parameter("offsets", .indices, optional: true),
        Parameter("per_sample_weights", .tensor, optional: true),
      ],
      by: "embedding_bag",
      prints: [
        .value("num_embeddings"), .value("embedding_dim"), .unless("max_norm", "None"), .unlessDefault("norm_type"),
        .unlessDefault("scale_grad_by_freq"), .quoted("mode"), .unless("padding_idx", "None"),
      ],
      samples: [
        ModuleSample([.integer(5), .integer(3)], [.positions([2, 4], 0...4)]),
        ModuleSample(
          [.integer(5), .integer(3), .absent, .number(2), .flag(false), .text("sum")],
          [.positions([6], 0...4), .positions([1], 0...0), .float(6)]),
        ModuleSample(
          [.integer(5), .integer(2), .number(0.5), .number(2), .flag(false), .text("max"), .flag(false), .flag(false), .integer(2)],
          [.positions([3, 4], 0...4)]),
      ], complete: complete,
      call: { layer, arguments in
        try layer.run(
          layer.arguments(
            arguments.tensors,
            replacing: zip(["input", "offsets", "per_sample_weights"], 0...).reduce(into: [:]) { $0[$1.0] = arguments.value($1.1) })
        )
        .tensors
      }, state: weight),
  ]

  static let kinds = table.map { $0.kind(Embedding.self) }
}
