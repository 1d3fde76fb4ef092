// Dropout: noise that keeps units from leaning on each other.

import Tensors

/// While training, sets elements to 0 with probability p and multiplies the others by 1/(1−p), so that the mean stays;
/// while evaluating, returns its input.
///
/// The tosses come from the main random stream, two words each, in the order of the elements, as PyTorch draws them on
/// AMD processors.
public final class Dropout: Module {
  /// Between 0 and 1.
  public private(set) var p: Double
  /// Whether the input itself is overwritten.
  public var inPlace: Bool

  /// Throws unless p lies between 0 and 1.
  public init(p: Double = 0.5, inPlace: Bool = false) throws {
    self.p = try Dropout.checked(p)
    self.inPlace = inPlace
    super.init(kind: "Dropout")
  }

  private static func checked(_ p: Double) throws -> Double {
    guard p >= 0, p <= 1 else {
      throw TensorError(.argument, "Dropout", "p must be a probability between 0 and 1, got \(pythonNumber(p))")
    }
    return p
  }

  /// Changes p. Throws unless it lies between 0 and 1.
  public func setProbability(_ p: Double) throws { self.p = try Dropout.checked(p) }

  public override func forward(_ x: Tensor) throws -> Tensor {
    guard isTraining, p > 0, x.count > 0 else { return x }
    guard x.dtype.isFloating else {
      throw TensorError(.dtype, kind, "only tensors of float dtypes can lose elements while training, got \(x.dtype)")
    }
    let factors = try p < 1 ? keepFactors(x) : Tensor.zeros(x.shape, dtype: x.dtype)
    return inPlace ? try x.writing("dropout") { try $0 * factors } : try x * factors
  }

  /// 0 where an element is dropped, 1/(1−p) where it is kept.
  private func keepFactors(_ x: Tensor) throws -> Tensor {
    let kept = try Tensor(uninitialized: x.shape, .bool)
    let tosses = UnsafeMutableBufferPointer(start: kept.data.assumingMemoryBound(to: Bool.self), count: kept.count)
    Generator.current.bernoulli(probability: 1 - p, into: tosses)
    try Context.checkStop()
    return try kept.to(x.dtype) / (1 - p)
  }

  public override func extraDescription(indexBase: Int) -> String { "p=\(pythonFloat(p)), inplace=\(python(inPlace))" }

  static let kinds = [
    ModuleKind(
      "Dropout", "While training, sets elements to 0 with probability p and scales the others by 1/(1−p).", of: Dropout.self,
      [.init("p", .number, default: "0.5"), .init("inplace", .boolean, default: "false")],
      fields: [("p", { .number($0.p) }), ("inplace", { .boolean($0.inPlace) })],
      writers: [
        "p": { module, value in
          switch value {
          case .number(let p): try module.setProbability(p)
          case .integer(let p): try module.setProbability(Double(p))
          default: throw TensorError(.argument, "Dropout", "p must be a number, got \(value.text(indexBase: 0))")
          }
        },
        "inplace": { module, value in
          guard case .boolean(let flag) = value else {
            throw TensorError(.argument, "Dropout", "inplace must be true or false, got \(value.text(indexBase: 0))")
          }
          module.inPlace = flag
        },
      ],
      samples: [ModuleSample([], [.float(4, 8)]), ModuleSample([.number(0.25)], [.float(4, 8)])]
    ) { try Dropout(p: try $0.number(0, default: 0.5), inPlace: try $0.boolean(1)) }
  ]
}
