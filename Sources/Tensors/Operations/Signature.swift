// Typed signatures: an operation's parameters stand once, with their kinds and defaults, and its body is given values of
// those types. Lua's decoder, help, completion and the checks read the same parameters.

/// A parameter, and how a decoded argument becomes what the body is given.
package struct Taken<Value>: Sendable {
  package let parameter: Parameter
  package let value: @Sendable (Argument, _ operation: String, _ position: Int) throws -> Value

  init(
    parameter: Parameter, _ value: @escaping @Sendable (Argument, _ operation: String, _ position: Int) throws -> Value
  ) {
    self.parameter = parameter
    self.value = value
  }

  /// The same, of which help says that it takes these names.
  package func oneOf(_ choices: String...) -> Taken { Taken(parameter: parameter.oneOf(choices), value) }

  init(
    _ name: String, _ kind: Parameter.Kind, optional: Bool = false, default text: String = "", namedOnly: Bool = false,
    expecting expectation: String, absent: (@Sendable () -> Value)? = nil, _ value: @escaping @Sendable (Argument) throws -> Value?
  ) {
    parameter = Parameter(name, kind, optional: optional, default: text, namedOnly: namedOnly)
    self.value = { argument, operation, position in
      if case .absent = argument, let absent { return absent() }
      if let found = try value(argument) { return found }
      throw TensorError(.argument, operation, "argument \(position + 1) (\(name)) is not \(expectation)")
    }
  }
}

/// A tensor, or a plain number in its place, which takes part in promotion by its kind only.
package enum Operand {
  case tensor(Tensor)
  case number(Scalar)

  /// The number as a tensor of rank 0.
  var asTensor: Tensor {
    get throws {
      switch self {
      case .tensor(let tensor): tensor
      case .number(let number): try Tensor.filled([], number, dtype: number.ownDType)
      }
    }
  }
}

/// The parameters that signatures are made of.
package enum Take {
  // MARK: Tensors

  private static func asTensor(_ argument: Argument) throws -> Tensor? {
    switch argument {
    case .tensor(let tensor): tensor
    case .number(let number): try Tensor.filled([], number, dtype: number.ownDType)
    default: nil
    }
  }

  package static var input: Taken<Tensor> { tensor("input") }

  package static func tensor(_ name: String) -> Taken<Tensor> { Taken(name, .tensor, expecting: "a tensor", asTensor) }

  package static func optionalTensor(_ name: String) -> Taken<Tensor?> {
    Taken(name, .tensor, optional: true, expecting: "a tensor", absent: { nil }) { try asTensor($0).map { .some($0) } }
  }

  package static func operand(_ name: String) -> Taken<Operand> {
    Taken(name, .operand, expecting: "a tensor or a number", asOperand)
  }

  package static func optionalOperand(_ name: String) -> Taken<Operand?> {
    Taken(name, .operand, optional: true, expecting: "a tensor or a number", absent: { nil }) { asOperand($0).map { .some($0) } }
  }

  private static func asOperand(_ argument: Argument) -> Operand? {
    switch argument {
    case .tensor(let tensor): .tensor(tensor)
    case .number(let number): .number(number)
    default: nil
    }
  }

  package static func tensors(_ name: String) -> Taken<[Tensor]> {
    Taken(name, .tensors, expecting: "a list of tensors") { if case .tensors(let list) = $0 { list } else { nil } }
  }

  package static func optionalIndices(_ name: String) -> Taken<Tensor?> {
    Taken(name, .indices, optional: true, expecting: "a tensor of positions", absent: { nil }) { try asTensor($0).map { .some($0) } }
  }

  /// Positions along a dimension.
  package static func indices(_ name: String) -> Taken<Tensor> { Taken(name, .indices, expecting: "a tensor of positions", asTensor) }

  /// The same, read as they are given, from 0 or 1.
  package static func positions(_ name: String) -> Taken<Positions> {
    Taken(parameter: Parameter(name, .indices, readsFromOne: true)) { argument, operation, position in
      if case .positions(let positions) = argument { return positions }
      return Positions(try indices(name).value(argument, operation, position))
    }
  }

  /// Positions along several dimensions, or masks of them.
  package static func indexTensors(_ name: String) -> Taken<[Tensor]> {
    Taken(name, .indexTensors, expecting: "a list of tensors of positions") { if case .tensors(let list) = $0 { list } else { nil } }
  }

  /// Class labels.
  package static func labels(_ name: String) -> Taken<Tensor> { Taken(name, .labels, expecting: "a tensor of labels", asTensor) }

  // MARK: Numbers

  private static func asScalar(_ argument: Argument) -> Scalar? {
    switch argument {
    case .number(let number): number
    case .integer(let integer): .integer(Int64(integer))
    case .boolean(let flag): .boolean(flag)
    default: nil
    }
  }

  package static func scalar(_ name: String) -> Taken<Scalar> { Taken(name, .number, expecting: "a number", asScalar) }

  /// A whole number by default, so that whole arguments stay whole.
  package static func scalar(_ name: String, default fallback: Int) -> Taken<Scalar> {
    Taken(name, .number, default: "\(fallback)", expecting: "a number", absent: { .integer(Int64(fallback)) }, asScalar)
  }

  package static func optionalScalar(_ name: String) -> Taken<Scalar?> {
    Taken(name, .number, optional: true, expecting: "a number", absent: { nil }) { asScalar($0).map { .some($0) } }
  }

  package static func number(_ name: String) -> Taken<Double> { Taken(name, .number, expecting: "a number") { asScalar($0)?.real } }

  package static func number(_ name: String, default fallback: Double) -> Taken<Double> {
    let text = fallback == fallback.rounded() && fallback.magnitude < 1e15 ? "\(Int(fallback))" : "\(fallback)"
    return Taken(name, .number, default: text, expecting: "a number", absent: { fallback }) { asScalar($0)?.real }
  }

  private static func asInteger(_ argument: Argument) -> Int? { if case .integer(let integer) = argument { integer } else { nil } }

  package static func integer(_ name: String) -> Taken<Int> { Taken(name, .integer, expecting: "a whole number", asInteger) }

  package static func integer(_ name: String, default fallback: Int) -> Taken<Int> {
    Taken(name, .integer, default: "\(fallback)", expecting: "a whole number", absent: { fallback }, asInteger)
  }

  package static func optionalInteger(_ name: String) -> Taken<Int?> {
    Taken(name, .integer, optional: true, expecting: "a whole number", absent: { nil }) { asInteger($0).map { .some($0) } }
  }

  // MARK: Dimensions and positions, whose defaults are shown from 1

  private static func shown(_ position: Int) -> String { "\(position < 0 ? position : position + 1)" }

  package static var dim: Taken<Int> { dimension("dim") }

  package static func dimension(_ name: String) -> Taken<Int> { Taken(name, .dimension, expecting: "a dimension", asInteger) }

  package static func dimension(_ name: String, default fallback: Int) -> Taken<Int> {
    Taken(name, .dimension, default: shown(fallback), expecting: "a dimension", absent: { fallback }, asInteger)
  }

  package static func optionalDimension(_ name: String) -> Taken<Int?> {
    Taken(name, .dimension, optional: true, expecting: "a dimension", absent: { nil }) { asInteger($0).map { .some($0) } }
  }

  /// A dimension, or a tensor to compare with; nil for all elements.
  package static func dimensionOrTensor(_ name: String) -> Taken<DimensionOrTensor?> {
    Taken(name, .dimension, optional: true, expecting: "a dimension or a tensor", absent: { nil }) {
      switch $0 {
      case .integer(let dimension): .dimension(dimension)
      case .tensor(let tensor): .tensor(tensor)
      default: nil
      }
    }
  }

  package static func optionalIndex(_ name: String) -> Taken<Int?> {
    Taken(name, .index, optional: true, expecting: "a position", absent: { nil }) { asInteger($0).map { .some($0) } }
  }

  package static func index(_ name: String) -> Taken<Int> { Taken(name, .index, expecting: "a position", asInteger) }

  package static func index(_ name: String, default fallback: Int) -> Taken<Int> {
    Taken(name, .index, default: shown(fallback), expecting: "a position", absent: { fallback }, asInteger)
  }

  // MARK: Lists

  private static func asIntegers(_ argument: Argument) -> [Int]? {
    switch argument {
    case .integers(let list): list
    case .integer(let integer): [integer]
    default: nil
    }
  }

  /// Some dimensions; nil for all of them.
  package static var dims: Taken<[Int]?> { optionalDimensions("dim") }

  package static func dimensions(_ name: String) -> Taken<[Int]> {
    Taken(name, .dimensions, expecting: "a dimension or a list of them", asIntegers)
  }

  package static func optionalDimensions(_ name: String) -> Taken<[Int]?> {
    Taken(name, .dimensions, optional: true, expecting: "a dimension or a list of them", absent: { nil }) {
      asIntegers($0).map { .some($0) }
    }
  }

  package static func shape(_ name: String) -> Taken<[Int]> { Taken(name, .shape, expecting: "sizes", asIntegers) }

  package static func optionalShape(_ name: String) -> Taken<[Int]?> {
    Taken(name, .shape, optional: true, expecting: "sizes", absent: { nil }) { asIntegers($0).map { .some($0) } }
  }

  package static func integers(_ name: String) -> Taken<[Int]> {
    Taken(name, .integers, expecting: "a whole number or a list of them", asIntegers)
  }

  /// A whole number, or one for each of several dimensions.
  package static func sizes(_ name: String) -> Taken<[Int]> { integers(name) }

  package static func sizes(_ name: String, default fallback: Int) -> Taken<[Int]> {
    Taken(
      name, .integers, default: "\(fallback)", expecting: "a whole number or a list of them", absent: { [fallback] }, asIntegers)
  }

  package static func optionalSizes(_ name: String) -> Taken<[Int]?> {
    Taken(name, .integers, optional: true, expecting: "a whole number or a list of them", absent: { nil }) {
      asIntegers($0).map { .some($0) }
    }
  }

  /// The same, or the name of a rule that they follow.
  package static func sizesOrName(_ name: String, default fallback: Int) -> Taken<SizesOrName> {
    Taken(
      name, .sizesOrName, default: "\(fallback)", expecting: "a whole number, a list of them or a name", absent: { .sizes([fallback]) }
    ) {
      if case .string(let text) = $0 { return .name(text) }
      return asIntegers($0).map { .sizes($0) }
    }
  }

  /// One size of several parts, or the sizes of each.
  package static func sizeOrSizes(_ name: String) -> Taken<SizeOrSizes> {
    Taken(name, .integers, expecting: "a size or a list of them") {
      switch $0 {
      case .integers(let list): .sizes(list)
      case .integer(let size): .size(size)
      default: nil
      }
    }
  }

  /// A number, or one for each of several dimensions, or tensors for them.
  package static func optionalNumbers(_ name: String) -> Taken<Numbers?> {
    Taken(name, .numbers, optional: true, expecting: "a number, a list of numbers or a list of tensors", absent: { nil }) {
      switch $0 {
      case .integers(let list): .list(list.map(Double.init))
      case .tensor(let list) where list.rank == 1 && list.count <= 1 << 20: .list(list.doubles)
      case .tensors(let list): .tensors(list)
      default: asScalar($0).map { .some(.number($0.real)) }
      }
    }
  }

  // MARK: The rest

  package static var keepdim: Taken<Bool> { flag("keepdim", default: false) }

  package static func flag(_ name: String, default fallback: Bool, namedOnly: Bool = false) -> Taken<Bool> {
    Taken(name, .boolean, default: "\(fallback)", namedOnly: namedOnly, expecting: "true or false", absent: { fallback }) {
      if case .boolean(let flag) = $0 { flag } else { nil }
    }
  }

  /// One that must be given, by position or by name.
  package static func requiredFlag(_ name: String) -> Taken<Bool> {
    Taken(name, .boolean, expecting: "true or false") { if case .boolean(let flag) = $0 { flag } else { nil } }
  }

  package static func optionalFlag(_ name: String, namedOnly: Bool = false) -> Taken<Bool?> {
    Taken(name, .boolean, optional: true, namedOnly: namedOnly, expecting: "true or false", absent: { nil }) {
      if case .boolean(let flag) = $0 { flag } else { nil }
    }
  }

  package static func optionalText(_ name: String, namedOnly: Bool = false) -> Taken<String?> {
    Taken(name, .string, optional: true, namedOnly: namedOnly, expecting: "a string", absent: { nil }) {
      if case .string(let text) = $0 { text } else { nil }
    }
  }

  /// The order of a norm: a number, or "fro" for 2.
  static func normOrder(_ name: String, default fallback: Double) -> Taken<Double> {
    Taken(parameter: Parameter(name, .order, default: "\(Int(fallback))")) { argument, operation, _ in
      switch argument {
      case .absent: return fallback
      case .string("fro"): return 2
      case .string(let text): throw TensorError(.argument, operation, "\(name) must be a number or \"fro\", got \"\(text)\"")
      default:
        guard let number = asScalar(argument) else { throw TensorError(.argument, operation, "\(name) must be a number or \"fro\"") }
        return number.real
      }
    }
  }

  package static func text(_ name: String) -> Taken<String> {
    Taken(name, .string, expecting: "a string") { if case .string(let text) = $0 { text } else { nil } }
  }

  package static func text(_ name: String, default fallback: String, namedOnly: Bool = false) -> Taken<String> {
    Taken(name, .string, default: "\"\(fallback)\"", namedOnly: namedOnly, expecting: "a string", absent: { fallback }) {
      if case .string(let text) = $0 { text } else { nil }
    }
  }

  /// How a loss is reduced.
  static var reduction: Taken<Reduction> {
    Taken(parameter: Parameter("reduction", .string, default: "\"mean\"").oneOf("none", "mean", "sum")) { argument, operation, position in
      switch argument {
      case .absent: .mean
      case .string(let name): try Reduction(named: name, operation)
      default: throw TensorError(.argument, operation, "argument \(position + 1) (reduction) is not a string")
      }
    }
  }

  package static func dtype(_ name: String) -> Taken<DType> {
    Taken(name, .dtype, expecting: "a dtype") { if case .dtype(let dtype) = $0 { dtype } else { nil } }
  }

  package static var dtype: Taken<DType?> {
    Taken("dtype", .dtype, optional: true, namedOnly: true, expecting: "a dtype", absent: { nil }) {
      if case .dtype(let dtype) = $0 { dtype } else { nil }
    }
  }
}

package enum DimensionOrTensor {
  case dimension(Int)
  case tensor(Tensor)
}

package enum Numbers {
  case number(Double)
  case list([Double])
  case tensors([Tensor])
}

package enum SizesOrName {
  case sizes([Int])
  case name(String)
}

package enum SizeOrSizes {
  case size(Int)
  case sizes([Int])
}

extension TensorOperation {
  /// An operation of those parameters, which `run` is given. Inlined, so that its values have the types of each list.
  @inline(__always)
  package init<each Value>(
    _ name: String, _ summary: String, _ parameters: repeat Taken<each Value>, aliases: [String] = [], forms: Forms = .both,
    samples: [Sample] = [], rejects: [Sample] = [], differentiable: Bool = true, composed: Bool = false, unary: Unary? = nil,
    binary: Binary? = nil, batching: BatchingRule? = nil,
    run: @escaping @Sendable (repeat each Value) throws -> Output
  ) {
    var list: [Parameter] = []
    for parameter in repeat each parameters { list.append(parameter.parameter) }
    // The closures alone: a call would count references to the names too.
    let values = (repeat (each parameters).value)
    self.init(
      name: name, summary: summary, parameters: list, aliases: aliases, forms: forms, samples: samples, rejects: rejects,
      differentiable: differentiable, composed: composed, unary: unary, binary: binary, batching: batching
    ) { read in
      var position = -1
      func next() throws -> Argument {
        position += 1
        return try read(position)
      }
      // Whichever step refuses, it is this that was called.
      do {
        return try run(repeat (each values)(next(), name, position))
      } catch let error as TensorError where !error.operation.isEmpty && error.operation != name && error.kind != .memory {
        throw TensorError(error.kind, name, error.facts)
      }
    }
  }
}
