// Elementwise functions of two tensors, or of a tensor and a number: a table with one formula for each input.
// Broadcasting and promotion are undone by the tape, so no formula mentions them.

import CKernels
import Glibc

/// An elementwise function of two tensors that broadcast, differentiable by its formulas.
public final class Binary: Row {
  enum ResultType: Sendable {
    /// The promoted type.
    case promoted
    /// The promoted type if it is floating, else the default float type.
    case floating
    /// Integers and bool only.
    case whole
  }

  /// `add`.
  public let name: String
  let summary: String
  let kernel: mg_binary_op
  let result: ResultType
  package let nodeName: String
  /// The same beside a plain number.
  let numberNodeName: String
  /// Whether the node has a place for a plain number among its inputs, as PyTorch's has where it makes a tensor of it.
  let showsNumber: Bool
  package let rule0, rule1: Rule?
  package let uses0, uses1: Uses
  let forms: TensorOperation.Forms
  let aliases: [String]
  let samples: [Sample]

  init(
    _ name: String, _ kernel: mg_binary_op, _ summary: String, grad: String? = nil, variant: Int = 0,
    numberVariant: Int? = nil, result: ResultType = .promoted,
    forms: TensorOperation.Forms = .all, aliases: [String] = [], positive: Bool = false, samples: [Sample] = [],
    a: Rule? = nil, b: Rule? = nil
  ) {
    self.name = name
    self.summary = summary
    self.kernel = kernel
    self.result = result
    self.forms = forms
    self.aliases = aliases
    let domain = positive ? 0.2...3 : -2...2.0
    if samples.isEmpty {
      let divisor = positive ? 0.3...2.5 : domain
      self.samples = [
        [.float([2, 3], domain), .float([2, 3], divisor)], [.float([2, 3], domain), .float([3], divisor)],
        [.float([3, 1], domain), .float([1, 4], divisor)], [.float([], domain), .float([2], divisor)],
        [.float([2, 3], domain), .number(1.5)], [.float([0, 3], domain), .float([3], divisor)],
      ]
    } else {
      self.samples = samples
    }
    let words = name.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }
    let stem = (grad ?? words.joined()) + "Backward"
    nodeName = "\(stem)\(variant)"
    numberNodeName = "\(stem)\(numberVariant ?? variant)"
    showsNumber = [MG_ADD, MG_SUB, MG_MUL, MG_DIV].contains(kernel)
    (rule0, rule1) = (a, b)
    (uses0, uses1) = (a?.uses ?? .nothing, b?.uses ?? .nothing)
  }

  package func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try self(inputs[0], inputs[1])] }

  package var passage: Passage { kernel == MG_FLOOR_DIVIDE ? .nothing : .everywhere }

  /// The function of each pair of elements; shapes broadcast and dtypes promote as in PyTorch.
  ///
  /// Throws for shapes that do not broadcast, dtypes that the function is not defined for, and whole-number division by zero.
  @inline(__always)
  public func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let dtype = try resultType(a.dtype == b.dtype ? a.dtype : Binary.promoted(a, b))
    if !dtype.isFloating { try check(divisors: b) }
    let y = try Elementwise.binary(kernel, a, b, dtype, name).recorded(RowOperation(self), a, b)
    if kernel == MG_ADD, y.count == 1, let node = y.node { GrowingHistory.look(at: node, a, b) }
    return y
  }

  /// The same with a plain number, which takes part in promotion by its kind only.
  @inline(__always)
  public func callAsFunction(_ a: Tensor, _ b: Scalar) throws -> Tensor {
    let dtype = try resultType(b.promoted(with: a.dtype))
    try check(divisor: b, dtype)
    return try Elementwise.binary(kernel, a, b, dtype).recorded(BesideNumber(row: self, number: b), a)
  }

  /// The operation whose second input is a plain number.
  private struct BesideNumber: Operation {
    unowned(unsafe) let row: Binary
    let number: Scalar

    var tangentRule: TangentRule { .elementwise }
    var nodeName: String { row.numberNodeName }
    static var broadcasts: Bool { true }
    var hasEmptyEdge: Bool { row.showsNumber }

    @inline(__always)
    func uses(_ number: Int) -> Uses { row.uses0.subtracting(.b) }

    func gradient(_ pass: inout Backward) throws {
      pass.number = number
      if let rule = row.rule0, pass.needs(0) { pass[0] = try rule.contribution(&pass, isLast: true) }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try row(inputs[0], number)] }

    func attribute(_ name: String) -> Any? { name == "other" ? number : nil }
  }

  /// The same with a plain number in front.
  public func callAsFunction(_ a: Scalar, _ b: Tensor) throws -> Tensor {
    try self(Tensor.filled([], a, dtype: a.promoted(with: b.dtype)), b)
  }

  /// PyTorch's promotion: a tensor of rank 0 counts by its kind only beside one that has dimensions.
  static func promoted(_ a: Tensor, _ b: Tensor) -> DType {
    if a.rank == 0, b.rank > 0, a.dtype.category <= b.dtype.category { return b.dtype }
    if b.rank == 0, a.rank > 0, b.dtype.category <= a.dtype.category { return a.dtype }
    return DType.promoted(a.dtype, b.dtype)
  }

  @inline(__always)
  private func resultType(_ promoted: DType) throws -> DType {
    if promoted.isFloating, result != .whole { return promoted }
    return try wholeResultType(promoted)
  }

  private func wholeResultType(_ promoted: DType) throws -> DType {
    if result == .floating { return DType.defaultFloating }
    guard mg_binary_has(kernel, promoted.computing.code) else {
      throw TensorError(.dtype, name, "not defined for tensors of \(promoted)")
    }
    return promoted
  }

  private var divides: Bool { kernel == MG_FLOOR_DIVIDE || kernel == MG_REMAINDER || kernel == MG_FMOD }

  private func check(divisor: Scalar, _ dtype: DType) throws {
    guard !dtype.isFloating, divides, divisor.integer == 0 else { return }
    throw TensorError(.domain, name, "whole-number division by zero")
  }

  /// The same for a tensor of whole numbers.
  @inline(never)
  private func check(divisors: Tensor) throws {
    guard divides, try divisors.all().item() == .boolean(false) else { return }
    throw TensorError(.domain, name, "whole-number division by zero")
  }

  /// Writes the result into a.
  @discardableResult
  public func inPlace(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let uses = (rule0?.uses ?? .nothing).union(rule1?.uses ?? .nothing)
    if a.dtype == b.dtype, a.shape == b.shape || b.count == 1, a.isContiguous, b.isContiguous, b.rank <= a.rank,
      a.storage !== b.storage, !b.requiresGrad || !GradMode.isEnabled, try a.writesDirectly(name),
      try resultType(a.dtype) == a.dtype
    {
      if !a.dtype.isFloating { try check(divisors: b) }
      try Elementwise.binary(kernel, a, b, into: a)
      a.bumpVersion()
      return a
    }
    return try a.writing(name, uses: uses) { try self($0, b) }
  }

  /// Writes the result beside a plain number into a.
  @discardableResult
  public func inPlace(_ a: Tensor, _ b: Scalar) throws -> Tensor {
    if a.isContiguous, try a.writesDirectly(name), try resultType(b.promoted(with: a.dtype)) == a.dtype {
      try check(divisor: b, a.dtype)
      try Elementwise.binary(kernel, a, b, into: a)
      a.bumpVersion()
      return a
    }
    return try a.writing(name, uses: rule0?.uses ?? .nothing) { try self($0, b) }
  }

  /// Adds alpha · b to a, or takes it off, where nothing of it is recorded; false where that is not all there is to do.
  func addsInPlace(_ a: Tensor, _ b: Tensor, _ alpha: Scalar) throws -> Bool {
    guard kernel == MG_ADD || kernel == MG_SUB, a.dtype == b.dtype, a.dtype.isFloating, a.shape == b.shape, a.storage !== b.storage,
      !b.requiresGrad || !GradMode.isEnabled, try a.writesDirectly(name)
    else { return false }
    guard a.isContiguous, b.isContiguous, !a.dtype.isOnlyStored else {
      try inPlace(a, withNoGrad { try Binary.mul(b, alpha) })
      return true
    }
    try Binary.addScaled(
      a.dtype, .update(a.data, a.dtype, a.count), .read(b.data, b.dtype, b.count),
      numbers: (kernel == MG_ADD ? alpha.real : -alpha.real, 0, 0, 0))
    a.bumpVersion()
    return true
  }

  private static let addScaled = NamedKernel("add_scaled")

  private var rejects: [Sample] {
    [[.float(2, 3), .float(2)]]
      + (divides ? [[.integers([2], 1...2), .integers([2], 0...0)], [.integers([2], 1...2), .integer(0)]] : [])
  }

  var operation: TensorOperation {
    TensorOperation(
      name, summary, Take.operand("input"), Take.operand("other"), aliases: aliases, forms: forms, samples: samples, rejects: rejects,
      differentiable: rule0 != nil || rule1 != nil, binary: self
    ) { x, other in .tensor(try self(x, other)) }
  }

  fileprivate func callAsFunction(_ x: Operand, _ other: Operand) throws -> Tensor {
    switch (x, other) {
    case (.tensor(let x), .tensor(let other)): try self(x, other)
    case (.tensor(let x), .number(let number)): try self(x, number)
    case (.number(let number), .tensor(let other)): try self(number, other)
    case (.number, .number): try self(x.asTensor, other.asTensor)
    }
  }

  /// `add` and `sub`, with a factor for the other.
  private var scaling: TensorOperation {
    TensorOperation(
      name, summary + " The other is multiplied by alpha.", Take.operand("input"), Take.operand("other"),
      Take.scalar("alpha", default: 1), aliases: aliases, forms: forms,
      samples: samples + [[.float(2, 3), .float(3), .number(2.5)], [.float(2, 3), .number(2), .number(-0.5)]], rejects: rejects,
      binary: self
    ) { x, other, alpha in
      if alpha == .integer(1) { return .tensor(try self(x, other)) }
      let (a, b) = (try x.asTensor, try other.asTensor)
      let common = Binary.promotedType(a, b)
      guard alpha.category <= common.category else {
        throw TensorError(.dtype, self.name, "the factor alpha = \(alpha) does not fit tensors of \(common)")
      }
      let y = try withNoGrad { try self(x, .tensor(Binary.mul(b.to(common), alpha))) }
      return .tensor(try y.recorded(ScaledSum(nodeName: self.nodeName, alpha: alpha, isDifference: self.kernel == MG_SUB), a, b))
    }
  }

  /// `div`, exact, rounded down or towards zero.
  private var rounding: TensorOperation {
    TensorOperation(
      name, summary + " With rounding_mode \"floor\" or \"trunc\" they stay whole.", Take.operand("input"), Take.operand("other"),
      Take.optionalText("rounding_mode", namedOnly: true).oneOf("trunc", "floor"), aliases: aliases, forms: forms,
      samples: samples + [
        [.float(2, 3), .positive(3), .text("floor")], [.float(2, 3), .number(0.7), .text("trunc")],
        [.integers([2, 3], -9...9), .integers([3], 2...4), .text("trunc")], [.integers([2, 3], -9...9), .integer(4), .text("floor")],
      ], rejects: rejects + [[.float(2), .float(2), .text("up")]], binary: self
    ) { x, other, mode in
      guard let mode else { return .tensor(try self(x, other)) }
      return .tensor(try x.asTensor.divided(by: other.asTensor, rounding: mode))
    }
  }
}

extension Tensor {
  /// The quotient rounded down ("floor") or towards zero ("trunc"), whose derivative is 0.
  func divided(by other: Tensor, rounding mode: String) throws -> Tensor {
    let y = try withNoGrad {
      switch mode {
      case "floor": return try Binary.floorDivide(self, other)
      case "trunc":
        if Binary.promotedType(self, other).isFloating { return try Unary.trunc(self / other) }
        // What C leaves over has the dividend's sign, so that the rest divides without one.
        return try Binary.floorDivide(Binary.sub(self, Binary.fmod(self, other)), other)
      default: throw TensorError(.argument, "div", "rounding_mode must be \"floor\" or \"trunc\", got \"\(mode)\"")
      }
    }
    return try y.recorded(RoundedQuotient(roundingMode: mode), self, other)
  }
}

/// a ± alpha · b.
private struct ScaledSum: Operation {
  let nodeName: String
  let alpha: Scalar
  let isDifference: Bool

  var tangentRule: TangentRule { .elementwise }
  static var broadcasts: Bool { true }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = c.g }
    if c.needs(1) { c[1] = try Binary.mul(c.g, .real(isDifference ? -alpha.real : alpha.real)) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let y = try withNoGrad {
      let scaled = try Binary.mul(inputs[1].to(Binary.promotedType(inputs[0], inputs[1])), alpha)
      return try isDifference ? inputs[0] - scaled : inputs[0] + scaled
    }
    return [try y.recorded(self, inputs[0], inputs[1])]
  }
}

private struct RoundedQuotient: Operation {
  let roundingMode: String

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "DivBackward2" }
  static var broadcasts: Bool { true }
  var passage: Passage { .nothing }

  func gradient(_ c: inout Backward) throws {
    for number in 0..<2 where c.needs(number) { c[number] = try Tensor.zeros(like: c.g) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].divided(by: inputs[1], rounding: roundingMode)] }
}

extension Binary {
  package static let add = Binary(
    "add", MG_ADD, "The sum, element by element.", a: .uses(.nothing) { c in c.g }, b: .uses(.nothing) { c in c.g })
  package static let sub = Binary(
    "sub", MG_SUB, "The difference, element by element.", aliases: ["subtract"],
    a: .uses(.nothing) { c in c.g }, b: .uses(.nothing) { c in try -c.g })
  package static let mul = Binary(
    "mul", MG_MUL, "The product, element by element.", aliases: ["multiply"],
    a: .times(.b), b: .times(.a))
  package static let div = Binary(
    "div", MG_DIV, "The quotient, element by element; whole numbers give floats.", result: .floating,
    aliases: ["divide", "true_divide"], positive: true,
    a: .uses(.b) { c in try c.g / c.b }, b: .uses([.a, .b]) { c in try -c.g * (c.a / (c.b * c.b)) })
  package static let floorDivide = Binary(
    "floor_divide", MG_FLOOR_DIVIDE, "The quotient rounded down.", positive: true,
    a: .uses(.nothing) { c in try Tensor.zeros(like: c.g) }, b: .uses(.nothing) { c in try Tensor.zeros(like: c.g) })
  package static let remainder = Binary(
    "remainder", MG_REMAINDER, "The remainder with the sign of the divisor, as Lua's %.", variant: 1, numberVariant: 0, positive: true,
    a: .uses(.nothing) { c in c.g }, b: .uses([.a, .b]) { c in try -c.g * floorDivide(c.a, c.b) })
  package static let fmod = Binary(
    "fmod", MG_FMOD, "The remainder with the sign of the dividend, as C's fmod.", variant: 1, numberVariant: 0, positive: true,
    a: .uses(.nothing) { c in c.g }, b: .uses([.a, .b]) { c in try -c.g * Unary.trunc(c.a / c.b) })
  package static let maximum = Binary(
    "maximum", MG_MAXIMUM, "The larger element; equal ones share the gradient.",
    forms: .both, a: .uses([.a, .b]) { c in try c.g * share(Comparison.lt(c.a, c.b), c.a, c.b) },
    b: .uses([.a, .b]) { c in try c.g * share(Comparison.lt(c.b, c.a), c.a, c.b) })
  package static let minimum = Binary(
    "minimum", MG_MINIMUM, "The smaller element; equal ones share the gradient.",
    forms: .both, a: .uses([.a, .b]) { c in try c.g * share(Comparison.lt(c.b, c.a), c.a, c.b) },
    b: .uses([.a, .b]) { c in try c.g * share(Comparison.lt(c.a, c.b), c.a, c.b) })
  package static let atan2 = Binary(
    "atan2", MG_ATAN2, "The angle of the point (other, input).", result: .floating, aliases: ["arctan2"],
    a: .uses([.a, .b]) { c in try c.g * bySquares(c.b, c.a, c.b) },
    b: .uses([.a, .b]) { c in try -c.g * bySquares(c.a, c.a, c.b) })
  package static let hypot = Binary(
    "hypot", MG_HYPOT, "√(input² + other²) without overflow.", positive: true,
    a: .uses([.a, .output]) { c in try c.g * (c.a / c.y) }, b: .uses([.b, .output]) { c in try c.g * (c.b / c.y) })
  package static let xlogy = Binary(
    "xlogy", MG_XLOGY, "input · ln(other), 0 where input is 0.", numberVariant: 2, result: .floating, positive: true,
    a: .uses([.a, .b]) { c in try (c.g * c.b.log()).maskedFill(Comparison.and(c.a.eq(0), c.b.le(0)), .real(0)) },
    b: .uses([.a, .b]) { c in try c.g * (c.a / c.b) })
  package static let copysign = Binary(
    "copysign", MG_COPYSIGN, "The magnitude of input with the sign of other.", numberVariant: 1, result: .floating,
    a: .uses([.a, .output]) { c in try c.g * (c.y.sign() * c.a.sign()) },
    b: .uses(.nothing) { c in try Tensor.zeros(like: c.g) })

  private static let wholes: [Sample] = [
    [.integers([2, 3], 0...9), .integers([3], 1...5)], [.integers([4], 0...9), .integer(3)], [.booleans([4]), .booleans([4])],
  ]
  private static let shifts: [Sample] = [[.integers([2, 3], 0...9), .integers([3], 0...5)], [.integers([4], 0...9), .integer(3)]]
  static let bitwiseAnd = Binary("bitwise_and", MG_BIT_AND, "Bits set in both.", result: .whole, samples: wholes)
  static let bitwiseOr = Binary("bitwise_or", MG_BIT_OR, "Bits set in either.", result: .whole, samples: wholes)
  static let bitwiseXor = Binary("bitwise_xor", MG_BIT_XOR, "Bits set in one only.", result: .whole, samples: wholes)
  static let shiftLeft = Binary("bitwise_left_shift", MG_SHIFT_LEFT, "Bits moved up.", result: .whole, samples: shifts)
  static let shiftRight = Binary("bitwise_right_shift", MG_SHIFT_RIGHT, "Bits moved down.", result: .whole, samples: shifts)

  /// Those with options of their own.
  static let operations = [add.scaling, sub.scaling, div.rounding]

  package static let list: [Binary] = [
    mul, floorDivide, remainder, fmod, maximum, minimum, atan2, hypot, xlogy, copysign, bitwiseAnd, bitwiseOr,
    bitwiseXor, shiftLeft, shiftRight,
  ]

  /// 0 where `loses`, ½ where a and b are equal, else 1: beside NaN both get the gradient.
  private static func share(_ loses: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let dtype = DType.promoted(a.dtype, b.dtype)
    let lost = try loses.to(dtype) + a.eq(b).to(dtype) * 0.5
    return try 1.0 - lost
  }

  /// part / (a² + b²), 0 at the origin.
  private static func bySquares(_ part: Tensor, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let squares = try a * a + b * b
    return try (part / squares).maskedFill(squares.eq(0), .real(0))
  }
}

// MARK: Swift's operators

extension Tensor {
  /// Element by element: shapes broadcast and dtypes promote as in PyTorch, and whole numbers divided give floats. Throws for
  /// shapes that do not broadcast.
  public static func + (a: Tensor, b: Tensor) throws -> Tensor { try Binary.add(a, b) }
  /// a − b, element by element.
  public static func - (a: Tensor, b: Tensor) throws -> Tensor { try Binary.sub(a, b) }
  /// a · b, element by element.
  public static func * (a: Tensor, b: Tensor) throws -> Tensor { try Binary.mul(a, b) }
  /// a / b, element by element; whole numbers give floats.
  public static func / (a: Tensor, b: Tensor) throws -> Tensor { try Binary.div(a, b) }

  /// The same with a number, which makes floats of whole numbers.
  public static func + (a: Tensor, b: Double) throws -> Tensor { try Binary.add(a, .real(b)) }
  /// a − b for each element.
  public static func - (a: Tensor, b: Double) throws -> Tensor { try Binary.sub(a, .real(b)) }
  /// a · b for each element.
  public static func * (a: Tensor, b: Double) throws -> Tensor { try Binary.mul(a, .real(b)) }
  /// a / b for each element.
  public static func / (a: Tensor, b: Double) throws -> Tensor { try Binary.div(a, .real(b)) }

  /// The same with a number in front.
  public static func + (a: Double, b: Tensor) throws -> Tensor { try Binary.add(b, .real(a)) }
  /// a − b for each element.
  public static func - (a: Double, b: Tensor) throws -> Tensor { try b.subtracted(from: .real(a)) }
  /// a · b for each element.
  public static func * (a: Double, b: Tensor) throws -> Tensor { try Binary.mul(b, .real(a)) }
  /// a / b for each element.
  public static func / (a: Double, b: Tensor) throws -> Tensor { try b.dividing(.real(a)) }

  /// The same with a whole number, by which whole numbers stay so: what `labels + 1` means.
  public static func + (a: Tensor, b: Int) throws -> Tensor { try Binary.add(a, .integer(Int64(b))) }
  /// a − b for each element.
  public static func - (a: Tensor, b: Int) throws -> Tensor { try Binary.sub(a, .integer(Int64(b))) }
  /// a · b for each element.
  public static func * (a: Tensor, b: Int) throws -> Tensor { try Binary.mul(a, .integer(Int64(b))) }
  /// a + b for each element.
  public static func + (a: Int, b: Tensor) throws -> Tensor { try Binary.add(b, .integer(Int64(a))) }
  /// a − b for each element.
  public static func - (a: Int, b: Tensor) throws -> Tensor { try b.subtracted(from: .integer(Int64(a))) }
  /// a · b for each element.
  public static func * (a: Int, b: Tensor) throws -> Tensor { try Binary.mul(b, .integer(Int64(a))) }

  /// number − x
  public func subtracted(from number: Scalar) throws -> Tensor {
    let dtype = number.promoted(with: self.dtype)
    guard dtype != .bool else { throw TensorError(.dtype, "sub", "not defined for tensors of bool") }
    let y = try Elementwise.binary(MG_SUB, number, self, dtype)
    return try y.recorded(SubtractedFrom(number: number), self)
  }

  private struct SubtractedFrom: Operation {
    let number: Scalar

    var tangentRule: TangentRule { .elementwise }
    var nodeName: String { "RsubBackward1" }
    func gradient(_ c: inout Backward) throws { c[0] = try -c.g }
    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].subtracted(from: number)] }
  }

  /// number / x, as PyTorch computes it: the reciprocal, times the number.
  public func dividing(_ number: Scalar) throws -> Tensor { try Binary.mul(reciprocal(), number) }

  /// x to the power of a number. The gradient for exponent 0 is 0.
  public func power(_ exponent: Double) throws -> Tensor { try Power.power(self, .real(exponent)) }
  package func power(_ exponent: Scalar) throws -> Tensor { try Power.power(self, exponent) }

  /// The larger, or the smaller, of each pair of elements; NaN where either is, and equal ones share the gradient. Shapes
  /// broadcast.
  public func maximum(_ other: Tensor) throws -> Tensor { try Binary.maximum(self, other) }
  /// The smaller of each pair; see ``maximum(_:)``.
  public func minimum(_ other: Tensor) throws -> Tensor { try Binary.minimum(self, other) }
}
