// Writing in place from Swift: by a formula of any operations, by assignment operators, and every operation by its name.

extension Tensor {
  /// Writes the result of a formula of this tensor into it: what scripts do by `x:relu_()` or `x:clamp_(0, 1)`, of any operations.
  ///
  /// ```swift
  /// try x.update { try $0.clamp(0, 1) }
  /// try withNoGrad { try weight.update { try $0 - 0.1 * gradient } }
  /// ```
  ///
  /// The tensor keeps its memory, shape and dtype; views see the new elements. It is recorded, and counts as a write, like every
  /// operation in place: a leaf that requires grad can be updated under ``withNoGrad(_:)`` only. Throws for a result of another shape,
  /// or of a dtype that does not fit without loss; nothing has changed then.
  @discardableResult
  public func update(_ formula: (Tensor) throws -> Tensor) throws -> Tensor {
    do {
      return try writing("update", formula)
    } catch let error as TensorError where error.operation == "update_" {
      throw TensorError(error.kind, "update", error.facts)
    }
  }

  /// Adds, subtracts, multiplies or divides in place: the elements change, for every tensor that shares them, and for every
  /// variable that has this object. `x = x + y` makes another one instead.
  public static func += (a: Tensor, b: Tensor) throws { try Binary.add.inPlace(a, b) }
  /// Subtracts in place.
  public static func -= (a: Tensor, b: Tensor) throws { try Binary.sub.inPlace(a, b) }
  /// Multiplies in place.
  public static func *= (a: Tensor, b: Tensor) throws { try Binary.mul.inPlace(a, b) }
  /// Divides in place.
  public static func /= (a: Tensor, b: Tensor) throws { try Binary.div.inPlace(a, b) }

  /// The same with a number.
  public static func += (a: Tensor, b: Double) throws { try Binary.add.inPlace(a, .real(b)) }
  /// Subtracts a number in place.
  public static func -= (a: Tensor, b: Double) throws { try Binary.sub.inPlace(a, .real(b)) }
  /// Multiplies by a number in place.
  public static func *= (a: Tensor, b: Double) throws { try Binary.mul.inPlace(a, .real(b)) }
  /// Divides by a number in place.
  public static func /= (a: Tensor, b: Double) throws { try Binary.div.inPlace(a, .real(b)) }

  /// The same with a whole number, as tensors of whole numbers want it.
  public static func += (a: Tensor, b: Int) throws { try Binary.add.inPlace(a, .integer(Int64(b))) }
  /// Subtracts a number in place.
  public static func -= (a: Tensor, b: Int) throws { try Binary.sub.inPlace(a, .integer(Int64(b))) }
  /// Multiplies by a number in place.
  public static func *= (a: Tensor, b: Int) throws { try Binary.mul.inPlace(a, .integer(Int64(b))) }

  /// Runs any operation that scripts have on this tensor, by the name that it has there, with a `_` at its end in place: for those
  /// without a method of Swift's. What follows are its other arguments in order, then options by name; positions count from 0.
  ///
  /// ```swift
  /// let upper = try x.call("triu", 1)
  /// try x.call("addcmul_", .tensor(a), .tensor(b), options: ["value": 0.5])
  /// ```
  ///
  /// Gives the first result, or the tensor itself. Throws for names and options that there are not.
  @discardableResult
  public func call(_ name: String, _ arguments: Argument..., options: KeyValuePairs<String, Argument> = [:]) throws -> Tensor {
    let isInPlace = name.hasSuffix("_")
    guard let operation = TensorOperation.named(isInPlace ? String(name.dropLast()) : name),
      !isInPlace || !operation.forms.isDisjoint(with: [.inPlace, .inPlaceView])
    else {
      throw TensorError(.argument, "call", "there is no operation '\(name)'")
    }
    let parameters = operation.parameters
    guard arguments.count < parameters.count else {
      throw TensorError(.argument, name, "\(arguments.count + 1) arguments were given, and it takes \(parameters.count)")
    }
    var values = [.tensor(self)] + arguments
    for (option, value) in options {
      guard let place = parameters.firstIndex(where: { $0.name == option }) else {
        throw TensorError(.argument, name, "there is no option '\(option)'")
      }
      while values.count <= place { values.append(.absent) }
      values[place] = value
    }
    for (place, value) in values.enumerated() {
      if case .integer(let number) = value, parameters[place].kind == .operand { values[place] = .number(.integer(Int64(number))) }
    }
    let given = Arguments(name, values)
    if isInPlace { return try operation.runInPlace(given) }
    guard let result = try operation.run(given).tensors.first else {
      throw TensorError(.argument, name, "its result is no tensor")
    }
    return result
  }

  /// Whether another tensor has the same shape and equal elements. NaN equals nothing.
  public func equal(_ other: Tensor) throws -> Bool {
    guard shape == other.shape else { return false }
    return try withNoGrad { try eq(other).all().item() } == .boolean(true)
  }

  /// Whether |x − other| ≤ atol + rtol · |other| for all elements, which broadcast.
  public func allClose(_ other: Tensor, rtol: Double = 1e-5, atol: Double = 1e-8) throws -> Bool {
    try withNoGrad {
      let (a, b) = (try to(.float64), try other.to(.float64))
      let near = try Comparison.le((a - b).abs(), b.abs() * rtol + atol)
      return try Comparison.or(near, a.eq(b)).all().item() == .boolean(true)
    }
  }
}

// Arguments by literals: `x.call("clamp", 0, 1)`.
extension Argument: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral, ExpressibleByNilLiteral
{
  /// `.integer`.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// `.number`.
  public init(floatLiteral value: Double) { self = .number(.real(value)) }
  /// `.boolean`.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// `.string`.
  public init(stringLiteral value: String) { self = .string(value) }
  /// `.integers`.
  public init(arrayLiteral values: Int...) { self = .integers(values) }
  /// `.absent`: the parameter's default.
  public init(nilLiteral: ()) { self = .absent }
}
