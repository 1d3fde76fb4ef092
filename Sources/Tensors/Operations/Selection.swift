// Choosing between elements by a condition, and limiting them.

import CKernels

extension Tensor {
  /// a where this bool tensor holds, else b; all three broadcast.
  public func choosing(_ a: Tensor, else b: Tensor) throws -> Tensor {
    guard dtype == .bool else { throw TensorError(.dtype, "where", "the condition must be bool, got a tensor of \(dtype)") }
    let target = try Shape.broadcast(Shape.broadcast(shape, a.shape, "where"), b.shape, "where")
    let result = Binary.promotedType(a, b)
    let (left, right) = (try a.converted(to: result), try b.converted(to: result))
    let y = try Tensor(uninitialized: target, result)
    let nest = mg_loop(
      target, y.layout, layout.stretched(to: target), left.layout.stretched(to: target), right.layout.stretched(to: target))
    try Kernels.choose(result, over: nest, data, left.data, right.data, into: y.data)
    return try y.recorded(Choice(), [a, b], [self])
  }

  /// A copy with `value` where the mask (bool, broadcast) holds.
  public func maskedFill(_ mask: Tensor, _ value: Scalar) throws -> Tensor {
    try masked(mask, by: Tensor.filled([], value.fitting(dtype, "masked_fill"), dtype: dtype)).recorded(
      MaskedFill(value: value), [self], [mask])
  }

  /// The same with the value of a tensor of rank 0, which has a gradient too.
  public func maskedFill(_ mask: Tensor, _ value: Tensor) throws -> Tensor {
    guard value.rank == 0 else {
      throw TensorError(.shape, "masked_fill", "the value must be a number or a tensor of rank 0, got shape \(value.shape)")
    }
    guard value.dtype.category <= dtype.category else {
      throw TensorError(.dtype, "masked_fill", "a value of \(value.dtype) does not fit a tensor of \(dtype)")
    }
    return try masked(mask, by: value.to(dtype)).recorded(MaskedFillByTensor(), [self, value], [mask])
  }

  private func masked(_ mask: Tensor, by value: Tensor) throws -> Tensor {
    guard mask.dtype == .bool else {
      throw TensorError(.dtype, "masked_fill", "the mask must be bool, got a tensor of \(mask.dtype)")
    }
    _ = try Shape.broadcast(shape, mask.shape, "masked_fill")
    return try withNoGrad { try mask.choosing(value, else: self) }
  }

  /// Elements limited to low…high; either may be absent. Gradients pass strictly inside the bounds.
  public func clamp(_ low: Scalar?, _ high: Scalar?) throws -> Tensor {
    guard low != nil || high != nil else { throw TensorError(.argument, "clamp", "at least one of min and max is needed") }
    var target = dtype
    for bound in [low, high].compactMap({ $0 }) { target = bound.promoted(with: target) }
    guard target != .bool else { throw TensorError(.dtype, "clamp", "not defined for tensors of bool") }
    let x = try to(target)
    let y = try Tensor(uninitialized: shape, target)
    try Kernels.unary(
      MG_CLAMP, low?.real ?? -.infinity, high?.real ?? .infinity, target, over: mg_loop(shape, y.layout, x.layout), x.data, into: y.data)
    return try y.recorded(Clamp(min: low, max: high), x)
  }

  /// The same with tensors as bounds, which broadcast and have gradients: where one takes an element's place.
  public func clamp(_ low: Tensor?, _ high: Tensor?) throws -> Tensor {
    let bounds = [low, high].compactMap { $0 }
    guard !bounds.isEmpty else { throw TensorError(.argument, "clamp", "at least one of min and max is needed") }
    let y = try withNoGrad {
      let raised = try low.map { try Binary.maximum(self, $0) } ?? self
      return try high.map { try Binary.minimum(raised, $0) } ?? raised
    }
    return try y.recorded(ClampByTensors(hasMin: low != nil, hasMax: high != nil), [self] + bounds)
  }

  /// self + value · a · b; all three broadcast.
  public func addcmul(_ a: Tensor, _ b: Tensor, _ value: Double = 1) throws -> Tensor {
    try checkBroadcast(a, b, "addcmul")
    let y = try withNoGrad { try self + (a * b).scaled(value) }
    return try y.recorded(AddProduct(value: value), [self, a, b])
  }

  /// self + value · a / b; all three broadcast.
  public func addcdiv(_ a: Tensor, _ b: Tensor, _ value: Double = 1) throws -> Tensor {
    try checkBroadcast(a, b, "addcdiv")
    let y = try withNoGrad { try self + (a / b).scaled(value) }
    return try y.recorded(AddQuotient(value: value), [self, a, b])
  }

  /// self + weight · (end − self); both broadcast.
  public func lerp(_ end: Tensor, _ weight: Double) throws -> Tensor {
    _ = try Shape.broadcast(shape, end.shape, "lerp")
    let (start, end) = try Tensor.floats(self, end)
    let y = try withNoGrad { try start + (end - start) * weight }
    return try y.recorded(Lerp(weight: weight), start, end)
  }

  /// The same with a weight for each element.
  public func lerp(_ end: Tensor, _ weight: Tensor) throws -> Tensor {
    try checkBroadcast(end, weight, "lerp")
    let (start, end) = try Tensor.floats(self, end)
    let y = try withNoGrad { try start + (end - start) * weight }
    return try y.recorded(LerpByTensor(), [start, end, weight])
  }

  /// Both as they are where one is of floats; whole numbers converted, whose difference may lie outside of their dtype.
  static func floats(_ a: Tensor, _ b: Tensor) throws -> (Tensor, Tensor) {
    if a.dtype.isFloating || b.dtype.isFloating { return (a, b) }
    return (try a.to(DType.defaultFloating), try b.to(DType.defaultFloating))
  }

  private func checkBroadcast(_ a: Tensor, _ b: Tensor, _ operation: String) throws {
    _ = try Shape.broadcast(Shape.broadcast(shape, a.shape, operation), b.shape, operation)
  }

  /// self · factor, and self itself for 1.
  func scaled(_ factor: Double) throws -> Tensor { factor == 1 ? self : try self * factor }
}

/// a where the condition, the third input, holds, else b.
private struct Choice: Operation {
  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "WhereBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["condition": .input(2)] }
  func uses(_ number: Int) -> Uses { .c }

  func gradient(_ c: inout Backward) throws {
    let zero = try Tensor.zeros([], dtype: c.g.dtype)
    if c.needs(0) { c[0] = try c.c.choosing(c.g, else: zero) }
    if c.needs(1) { c[1] = try c.c.choosing(zero, else: c.g) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[2].choosing(inputs[0], else: inputs[1])] }
}

private struct MaskedFill: Operation {
  let value: Scalar

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "MaskedFillBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["mask": .input(1)] }
  func uses(_ number: Int) -> Uses { .b }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.maskedFill(c.b, .integer(0)) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].maskedFill(inputs[1], value)] }
}

private struct MaskedFillByTensor: Operation {
  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "MaskedFillBackward1" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["mask": .input(2)] }
  func uses(_ number: Int) -> Uses { .c }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = try c.g.maskedFill(c.c, .integer(0)) }
    if c.needs(1) { c[1] = try c.c.choosing(c.g, else: Tensor.zeros([], dtype: c.g.dtype)) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].maskedFill(inputs[2], inputs[1])] }
}

private struct Clamp: Operation {
  let min, max: Scalar?

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "ClampBackward1" }
  func uses(_ number: Int) -> Uses { .a }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a.detach()
    var inside: Tensor?
    if let min { inside = try Comparison.gt(x, min) }
    if let max {
      let below = try Comparison.lt(x, max)
      inside = try inside.map { try Comparison.and($0, below) } ?? below
    }
    c[0] = try inside.map { try c.g * $0.to(c.g.dtype) } ?? c.g
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].clamp(min, max)] }
}

private struct ClampByTensors: Operation {
  let hasMin, hasMax: Bool

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { hasMin && hasMax ? "ClampBackward0" : hasMin ? "ClampMinBackward0" : "ClampMaxBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "min": .input(hasMin ? 1 : 7), "max": .input(hasMin ? 2 : 1)] }
  func uses(_ number: Int) -> Uses { hasMin && hasMax ? [.a, .b, .c] : [.a, .b] }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a.detach()
    let low = try hasMin ? c.b.detach() : nil
    let high = try hasMax ? (hasMin ? c.c : c.b).detach() : nil
    let isBelow = try low.map { try Comparison.lt(x, $0) }
    let isAbove = try high.map { try Comparison.gt(x, $0) }
    let zero = try Tensor.zeros([], dtype: c.g.dtype)
    if c.needs(0) {
      let isInside = [try low.map { try Comparison.gt(x, $0) }, try high.map { try Comparison.lt(x, $0) }].compactMap { $0 }
      c[0] = try isInside.dropFirst().reduce(isInside[0]) { try Comparison.and($0, $1) }.choosing(c.g, else: zero)
    }
    // Where the bounds cross, the upper one holds.
    let crosses = try low.flatMap { low in try high.map { try Comparison.lt($0, low) } }
    if let isBelow, c.needs(1) {
      let holds = try crosses.map { try Comparison.and(isBelow, $0.logicalNot()) } ?? isBelow
      c[1] = try holds.choosing(c.g, else: zero)
    }
    let number = hasMin ? 2 : 1
    if let isAbove, c.needs(number) {
      c[number] = try (crosses.map { try Comparison.or(isAbove, $0) } ?? isAbove).choosing(c.g, else: zero)
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].clamp(hasMin ? inputs[1] : nil, hasMax ? inputs[hasMin ? 2 : 1] : nil)]
  }
}

private struct AddProduct: Operation {
  let value: Double

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "AddcmulBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["tensor1": .input(1), "tensor2": .input(2)] }
  func uses(_ number: Int) -> Uses { [.nothing, .c, .b][number] }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = c.g }
    if c.needs(1) { c[1] = try (c.g * c.c).scaled(value) }
    if c.needs(2) { c[2] = try (c.g * c.b).scaled(value) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].addcmul(inputs[1], inputs[2], value)] }
}

private struct AddQuotient: Operation {
  let value: Double

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "AddcdivBackward0" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["tensor1": .input(1), "tensor2": .input(2)] }
  func uses(_ number: Int) -> Uses { [.nothing, .c, [.b, .c]][number] }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = c.g }
    if c.needs(1) { c[1] = try (c.g / c.c).scaled(value) }
    if c.needs(2) { c[2] = try (-c.g * (c.b / (c.c * c.c))).scaled(value) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].addcdiv(inputs[1], inputs[2], value)] }
}

private struct Lerp: Operation {
  let weight: Double

  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "LerpBackward0" }
  static var broadcasts: Bool { true }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = try c.g * (1 - weight) }
    if c.needs(1) { c[1] = try c.g * weight }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].lerp(inputs[1], weight)] }
}

private struct LerpByTensor: Operation {
  var tangentRule: TangentRule { .elementwise }
  var nodeName: String { "LerpBackward1" }
  static var broadcasts: Bool { true }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "end": .input(1), "weight": .input(2)] }
  func uses(_ number: Int) -> Uses { number == 2 ? [.a, .b] : .c }

  func gradient(_ c: inout Backward) throws {
    if c.needs(0) { c[0] = try c.g * (1.0 - c.c) }
    if c.needs(1) { c[1] = try c.g * c.c }
    if c.needs(2) { c[2] = try c.g * (c.b - c.a) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].lerp(inputs[1], inputs[2])] }
}

extension Binary {
  /// The common dtype of two tensors by PyTorch's rules for dimensions and kinds.
  static func promotedType(_ a: Tensor, _ b: Tensor) -> DType { a.dtype == b.dtype ? a.dtype : promoted(a, b) }
}

enum Selection {
  static let list: [TensorOperation] = [
    TensorOperation(
      "where", "input where the condition holds, else other; all broadcast. Of a condition alone the positions where it holds.",
      Take.tensor("condition"),
      Take.optionalOperand("input"), Take.optionalOperand("other"),
      forms: .both,
      samples: [
        [.booleans([2, 3]), .float(2, 3), .float(3)], [.booleans([3]), .float(2, 3), .number(0)],
        [.booleans([2, 1]), .number(1), .float(3)],
      ], rejects: [[.float(2), .float(2), .float(2)], [.booleans([2]), .float(3), .float(3)]], batching: .broadcast
    ) { condition, x, other in
      if let x, let other { return .tensor(try condition.choosing(x.asTensor, else: other.asTensor)) }
      guard x == nil, other == nil else {
        throw TensorError(.argument, "where", "two values are needed beside the condition, or none for the positions where it holds")
      }
      let positions = try condition.nonzero()
      return .several(try (0..<condition.rank).map { .indices(try positions.select(1, $0)) })
    },
    TensorOperation(
      "masked_fill", "A copy with a number where the mask holds.", Take.input, Take.tensor("mask"), Take.operand("value"),
      forms: .all, samples: [[.float(2, 3), .booleans([2, 3]), .number(1.5)], [.float(2, 3), .booleans([3]), .number(0)]],
      rejects: [[.float(2, 3), .float(2, 3), .number(1)], [.float(2, 3), .booleans([2]), .number(1)]], batching: .broadcast
    ) { x, mask, value in
      switch value {
      case .number(let number): .tensor(try x.maskedFill(mask, number))
      case .tensor(let tensor): .tensor(try x.maskedFill(mask, tensor))
      }
    },
    TensorOperation(
      "clamp", "Elements limited to min…max; the gradient is 0 at the bounds.", Take.input, Take.optionalOperand("min"),
      Take.optionalOperand("max"),
      aliases: ["clip"], forms: .all,
      samples: [
        [.float(2, 3), .number(-0.5), .number(1)], [.float(2, 3), .number(0)], [.float(2, 3), .absent, .number(0.5)],
        [.values([3], [-1, 0, 1]), .number(-1), .number(1)],
      ], rejects: [[.float(2)]], batching: .broadcast
    ) { x, min, max in
      if case .tensor? = min { return .tensor(try x.clamp(min?.asTensor, max?.asTensor)) }
      if case .tensor? = max { return .tensor(try x.clamp(min?.asTensor, max?.asTensor)) }
      func number(_ bound: Operand?) -> Scalar? { if case .number(let number) = bound { number } else { nil } }
      return .tensor(try x.clamp(number(min), number(max)))
    },
    TensorOperation(
      "addcmul", "input + value · tensor1 · tensor2.", Take.input, Take.tensor("tensor1"), Take.tensor("tensor2"),
      Take.number("value", default: 1),
      forms: .all, samples: [[.float(2, 3), .float(2, 3), .float(2, 3)], [.float(2, 3), .float(3), .float(2, 1), .number(0.5)]],
      rejects: [[.float(2), .float(3), .float(2)]], batching: .broadcast
    ) { x, tensor1, tensor2, value in try .tensor(x.addcmul(tensor1, tensor2, value)) },
    TensorOperation(
      "addcdiv", "input + value · tensor1 / tensor2.", Take.input, Take.tensor("tensor1"), Take.tensor("tensor2"),
      Take.number("value", default: 1),
      forms: .all, samples: [[.float(2, 3), .float(2, 3), .positive(2, 3)], [.float(2, 3), .float(3), .positive(2, 1), .number(0.5)]],
      rejects: [[.float(2), .float(3), .float(2)]], batching: .broadcast
    ) { x, tensor1, tensor2, value in try .tensor(x.addcdiv(tensor1, tensor2, value)) },
    TensorOperation(
      "lerp", "input + weight · (end − input).", Take.input, Take.tensor("end"), Take.operand("weight"),
      forms: .all, samples: [[.float(2, 3), .float(2, 3), .number(0.3)], [.float(2, 3), .float(3), .float(2, 3)]],
      rejects: [[.float(2), .float(3), .number(0.5)]], batching: .broadcast
    ) { x, end, weight in
      switch weight {
      case .number(let weight): .tensor(try x.lerp(end, weight.real))
      case .tensor(let weight): .tensor(try x.lerp(end, weight))
      }
    },
  ]
}
