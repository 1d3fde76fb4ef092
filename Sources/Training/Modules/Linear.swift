// The affine map, and the module that does nothing.

import Tensors

/// y = x · weightᵀ + bias, from `(…, in)` to `(…, out)`.
public final class Linear: Module {
  /// The last size of inputs, and that of outputs.
  public let inFeatures: Int
  /// The last size of outputs.
  public let outFeatures: Int
  /// `(out, in)`.
  @exclusivity(unchecked) public private(set) var weight: Tensor
  /// `(out)`, or absent.
  @exclusivity(unchecked) public private(set) var bias: Tensor?

  /// The name that the class has at the end of MultiheadAttention, as PyTorch prints it.
  static let projection = "NonDynamicallyQuantizableLinear"

  /// Initial values are PyTorch's: the weight, then the bias, uniform between ±1/√in.
  public convenience init(_ inFeatures: Int, _ outFeatures: Int, bias: Bool = true, dtype: DType? = nil) throws {
    try self.init(inFeatures, outFeatures, bias: bias, dtype: dtype, kind: "Linear")
  }

  init(_ inFeatures: Int, _ outFeatures: Int, bias: Bool, dtype: DType?, kind: String) throws {
    let dtype = dtype ?? DType.defaultFloating
    self.inFeatures = inFeatures
    self.outFeatures = outFeatures
    weight = try Tensor.zeros(Shape([outFeatures, inFeatures], operation: "Linear"), dtype: dtype)
    try Initializer.kaimingUniform(weight, negativeSlope: 5.0.squareRoot())
    if bias {
      let bound = inFeatures > 0 ? 1 / Double(inFeatures).squareRoot() : 0
      self.bias = try Tensor.zeros([outFeatures], dtype: dtype).uniform(from: -bound, to: bound).markParameter()
    }
    try weight.markParameter()
    super.init(kind: kind)
  }

  public override var parameters: [(name: String, tensor: Tensor?)] { [("weight", weight), ("bias", bias)] }

  public override func set(parameter name: String, _ tensor: Tensor?) throws {
    switch name {
    case "weight": weight = try checked(required: name, tensor)
    case "bias": bias = try checked(parameter: name, tensor)
    default: try super.set(parameter: name, tensor)
    }
  }

  public override func forward(_ x: Tensor) throws -> Tensor {
    do { return try x.linear(weight, bias) } catch {
      // After the operation's own check, since a check of every call's shapes costs a tenth of a small product.
      guard x.rank > 0, weight.rank == 2, x.shape[x.rank - 1] == weight.shape[1] else { throw misfit(x) }
      throw error
    }
  }

  package override func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? {
    guard let operation = TensorOperation.named("linear"), inputs.count == 1 else { return nil }
    return (operation, Arguments(kind, [.tensor(inputs[0]), .tensor(weight)] + (bias.map { [.tensor($0)] } ?? [])))
  }

  private func misfit(_ x: Tensor) -> TensorError {
    TensorError(
      .shape, kind,
      "an input of shape \(x.shape) does not fit the weight of shape \(weight.shape): its last size must be in_features = \(inFeatures)")
  }

  public override func extraDescription(indexBase: Int) -> String {
    "in_features=\(inFeatures), out_features=\(outFeatures), bias=\(python(bias != nil))"
  }
}

/// Returns its input.
public final class Identity: Module {
  /// It has no options.
  public init() { super.init(kind: "Identity") }
  public override func forward(_ x: Tensor) throws -> Tensor { x }
  package override func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? {
    guard let operation = TensorOperation.named("positive"), inputs.count == 1 else { return nil }
    return (operation, Arguments(kind, [.tensor(inputs[0])]))
  }
}

extension Linear {
  private static func kind(_ name: String, _ summary: String) -> ModuleKind {
    ModuleKind(
      name, summary, of: Linear.self,
      [
        .init("in_features", .integer), .init("out_features", .integer), .init("bias", .boolean, default: "true"), .dtype,
      ],
      fields: [
        ("in_features", { .integer($0.inFeatures) }), ("out_features", { .integer($0.outFeatures) }),
      ],
      samples: [
        ModuleSample([.integer(3), .integer(2)], [.float(5, 3)]), ModuleSample([.integer(3), .integer(2), .flag(false)], [.float(3)]),
        ModuleSample([.integer(3), .integer(2)], [.float(2, 4, 3)]),
      ]
    ) {
      try Linear(try $0.integer(0), try $0.integer(1), bias: try $0.boolean(2, default: true), dtype: try $0.dtype(3), kind: name)
    }
  }

  static let kinds = [
    kind("Linear", "y = x · weightᵀ + bias, from (…, in_features) to (…, out_features)."),
    kind(projection, "Linear, under the name that the one at the end of MultiheadAttention has."),
    ModuleKind("Identity", "Returns its input.", of: Identity.self, samples: [ModuleSample([], [.float(2, 3)])]) { _ in Identity() },
  ]
}
