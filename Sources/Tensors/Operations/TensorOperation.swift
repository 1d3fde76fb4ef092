// What an operation declares about itself. The Lua functions and methods, help, completion and the test suite are
// all walks over the list of these (see Catalogue.swift), so adding an operation edits one file: its own.

/// One operation: names, parameters, text, samples, and how to run it. Not `Operation`, which hosts know from Foundation.
package struct TensorOperation: Sendable {
  package struct Forms: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }
    /// `mg.name(x)`.
    package static let function = Forms(rawValue: 1)
    /// `x:name()`.
    package static let method = Forms(rawValue: 2)
    /// `x:name_()`, writing the result into x.
    package static let inPlace = Forms(rawValue: 4)
    /// `F.name(x)`.
    package static let functional = Forms(rawValue: 8)
    /// `x:name_()`, of an operation that gives a view: x shows its elements so from then on.
    package static let inPlaceView = Forms(rawValue: 16)
    package static let both: Forms = [.function, .method]
    package static let all: Forms = [.function, .method, .inPlace]
  }

  package let name: String
  package let aliases: [String]
  /// One sentence.
  package let summary: String
  package let parameters: [Parameter]
  package let forms: Forms
  package let samples: [Sample]
  /// Arguments that must be refused.
  package let rejects: [Sample]
  /// The families' direct way in, for callers that want no argument list.
  package let unary: Unary?
  package let binary: Binary?
  /// Whether second derivatives exist (false: piecewise constant or not differentiable at all).
  package let isDifferentiable: Bool
  /// Whether it is a formula of other operations, which its graph shows, where PyTorch may have a node for it.
  package let isComposed: Bool
  /// How it is applied to a batch at once.
  package let batching: BatchingRule
  /// Runs it on the arguments that `read` gives by position.
  package let body: @Sendable (_ read: (Int) throws -> Argument) throws -> Output

  package init(
    name: String, summary: String, parameters: [Parameter], aliases: [String] = [], forms: Forms = .both, samples: [Sample] = [],
    rejects: [Sample] = [], differentiable: Bool = true, composed: Bool = false, unary: Unary? = nil, binary: Binary? = nil,
    batching: BatchingRule? = nil, body: @escaping @Sendable (_ read: (Int) throws -> Argument) throws -> Output
  ) {
    self.name = name
    self.aliases = aliases
    self.summary = summary
    // What draws random numbers may be told by which generator: here once for all of them.
    let draws = if case .random? = batching { true } else { false }
    self.parameters = parameters + (draws ? [.generator] : [])
    self.forms = forms
    self.samples = samples
    self.rejects = rejects
    self.unary = unary
    self.binary = binary
    isDifferentiable = differentiable
    isComposed = composed
    self.batching = batching ?? .inferred(parameters, elementwise: unary != nil || binary != nil)
    guard draws else {
      self.body = body
      return
    }
    let last = parameters.count
    self.body = { read in
      guard case .object(let object) = try read(last), let generator = object as? Generator else { return try body(read) }
      return try generator.drawing { try body(read) }
    }
  }

  /// The generator that a call of it names.
  package func generator(of arguments: Arguments) -> Generator? {
    parameters.last?.kind == .generator ? arguments.object(parameters.count - 1) as? Generator : nil
  }

  /// The same operation, applied to batches by another rule.
  init(_ other: TensorOperation, batching: BatchingRule) {
    self.init(
      name: other.name, summary: other.summary, parameters: other.parameters.filter { $0.kind != .generator }, aliases: other.aliases,
      forms: other.forms,
      samples: other.samples, rejects: other.rejects, differentiable: other.isDifferentiable, composed: other.isComposed,
      unary: other.unary, binary: other.binary, batching: batching, body: other.body)
  }

  /// Runs it on a list of arguments.
  package func run(_ arguments: Arguments) throws -> Output { try body { arguments.value($0) } }

  /// Runs it into its first argument, as `x:name_()` does, which it gives back.
  @discardableResult
  package func runInPlace(_ arguments: Arguments) throws -> Tensor {
    let x = try arguments.tensor(0)
    func result(_ source: Tensor) throws -> Tensor {
      do {
        guard case .tensor(let result) = try run(Arguments(name, [.tensor(source)] + arguments.values.dropFirst())) else {
          throw TensorError(.argument, name, "there is no single result to write back")
        }
        return result
      } catch let error as TensorError where error.operation == name {
        throw TensorError(error.kind, name + "_", error.facts)
      }
    }
    if forms.contains(.inPlaceView) { return try x.viewing(name, result) }
    // The families' own way, where none of an operation's options is given.
    let isPlain = arguments.values.dropFirst(binary == nil ? 1 : 2).allSatisfy { if case .absent = $0 { true } else { false } }
    if isPlain, let unary { return try unary.inPlace(x) }
    if isPlain, let binary {
      if case .number(let number) = arguments.value(1) { return try binary.inPlace(x, number) }
      return try binary.inPlace(x, arguments.tensor(1))
    }
    if let binary, arguments.values.count == 3, case .number(let alpha) = arguments.value(2), case .tensor(let other) = arguments.value(1),
      try binary.addsInPlace(x, other, alpha)
    {
      return x
    }
    return try x.writing(name, result)
  }
}

/// A parameter of an operation.
public struct Parameter: Sendable {
  /// What it takes; the Lua side converts from 1-based by this, and only by this.
  public enum Kind: Sendable {
    /// A tensor.
    case tensor
    /// A tensor or a plain number.
    case operand
    /// A list of tensors.
    case tensors
    /// A number.
    case number
    /// A whole number that is not an index: a count, an offset.
    case integer
    /// A dimension.
    case dimension
    /// Several dimensions, as a list, or at the end as plain arguments.
    case dimensions
    /// A position along a dimension.
    case index
    /// An int64 tensor of positions.
    case indices
    /// A list of such tensors, or of masks.
    case indexTensors
    /// Class labels, as a tensor of them.
    case labels
    /// A truth value.
    case boolean
    /// A text.
    case string
    /// A number, or the name of one.
    case order
    /// Sizes, as a list or as plain arguments.
    case shape
    /// Whole numbers that are not indices: repeats, shifts, split sizes.
    case integers
    /// The same, or the name of a rule for them.
    case sizesOrName
    /// A number, a list of numbers, or a list of tensors.
    case numbers
    /// A type of elements.
    case dtype
    /// An object of a layer above, which knows its class: a module that others are made of.
    case module
    /// A tensor, or such an object that stands for sequences of several lengths.
    case sequence
    /// Where random numbers come from.
    case generator
  }

  /// `dim`: the name that messages and help show, and under which it is given by name.
  public let name: String
  /// What it takes.
  public let kind: Kind
  /// Whether it can be left out.
  public let isOptional: Bool
  /// The default, as help shows it.
  public let defaultText: String
  /// Whether it can be given only by name, as an option.
  public let isNamedOnly: Bool
  /// Whether it takes positions that count from 1 as they are.
  package let readsFromOne: Bool
  /// The names that one of kind `string` can have, as help shows them; empty where it takes any, or more than these.
  public private(set) var choices: [String] = []

  /// The same parameter, which takes these names.
  public func oneOf(_ choices: String...) -> Parameter { oneOf(choices) }

  package func oneOf(_ choices: [String]) -> Parameter {
    var result = self
    result.choices = choices
    return result
  }

  /// A parameter with a default text is optional.
  public init(_ name: String, _ kind: Kind, optional: Bool = false, default text: String = "", namedOnly: Bool = false) {
    self.init(name, kind, optional: optional, default: text, namedOnly: namedOnly, readsFromOne: false)
  }

  init(
    _ name: String, _ kind: Kind, optional: Bool = false, default text: String = "", namedOnly: Bool = false, readsFromOne: Bool
  ) {
    self.readsFromOne = readsFromOne
    self.name = name
    self.kind = kind
    isOptional = optional || !text.isEmpty
    defaultText = text
    isNamedOnly = namedOnly
  }

  /// Parameters that many operations share.
  public static let input = Parameter("input", .tensor)
  /// A tensor or a number.
  public static let other = Parameter("other", .operand)
  /// A dimension.
  public static let dim = Parameter("dim", .dimension)
  /// Whether dimensions that are reduced stay, with size 1.
  public static let keepdim = Parameter("keepdim", .boolean, default: "false")
  /// The dtype of the result, by name.
  public static let dtype = Parameter("dtype", .dtype, optional: true, namedOnly: true)
  /// The random numbers to take, by name; the context's where it is left out.
  public static let generator = Parameter("generator", .generator, optional: true, namedOnly: true)
}

/// A decoded argument. Everything counts from 0, but for positions where they say otherwise.
public enum Argument {
  /// None was given.
  case absent
  /// A tensor.
  case tensor(Tensor)
  /// For parameters that take them so; others are given a tensor.
  case positions(Positions)
  /// Tensors of a list.
  case tensors([Tensor])
  /// A number.
  case number(Scalar)
  /// A whole number.
  case integer(Int)
  /// Whole numbers: sizes, dimensions.
  case integers([Int])
  /// A truth value.
  case boolean(Bool)
  /// A text.
  case string(String)
  /// A type of elements.
  case dtype(DType)
  /// An object of a layer above.
  case object(AnyObject)
}

/// The arguments of one call, in the order of the parameters. Positions count from 0; reading one as what it is not throws.
public struct Arguments {
  /// The operation's name, for errors.
  public let operation: String
  /// By position; those missing at the end are absent.
  public let values: [Argument]

  /// `operation` is for errors; `values` are in the order of the parameters.
  public init(_ operation: String, _ values: [Argument]) {
    self.operation = operation
    self.values = values
  }

  private func missing(_ position: Int, _ expected: String) -> TensorError {
    TensorError(.argument, operation, "argument \(position + 1) is not \(expected)")
  }

  package func value(_ position: Int) -> Argument { position < values.count ? values[position] : .absent }

  /// Whether nothing was given there.
  public func isAbsent(_ position: Int) -> Bool {
    if case .absent = value(position) { true } else { false }
  }

  /// A tensor; a plain number becomes one of rank 0.
  public func tensor(_ position: Int) throws -> Tensor {
    switch value(position) {
    case .tensor(let tensor): return tensor
    case .number(let number): return try Tensor.filled([], number, dtype: number.ownDType)
    default: throw missing(position, "a tensor")
    }
  }

  /// The same, or nil when it is absent.
  public func optionalTensor(_ position: Int) throws -> Tensor? { isAbsent(position) ? nil : try tensor(position) }

  /// An object of a layer above; nil where there is something else.
  package func object(_ position: Int) -> AnyObject? { if case .object(let object) = value(position) { object } else { nil } }

  /// A list of tensors.
  public func tensors(_ position: Int) throws -> [Tensor] {
    guard case .tensors(let list) = value(position) else { throw missing(position, "a list of tensors") }
    return list
  }

  /// A plain number; whole numbers and booleans are numbers too.
  public func number(_ position: Int) throws -> Scalar {
    switch value(position) {
    case .number(let number): return number
    case .integer(let integer): return .integer(Int64(integer))
    case .boolean(let flag): return .boolean(flag)
    default: throw missing(position, "a number")
    }
  }

  /// The same as a float; `fallback` when it is absent.
  public func number(_ position: Int, default fallback: Double) throws -> Double {
    isAbsent(position) ? fallback : try number(position).real
  }

  /// A whole number.
  public func integer(_ position: Int) throws -> Int {
    guard case .integer(let integer) = value(position) else { throw missing(position, "a whole number") }
    return integer
  }

  /// The same; `fallback` when it is absent.
  public func integer(_ position: Int, default fallback: Int) throws -> Int {
    isAbsent(position) ? fallback : try integer(position)
  }

  /// The same, or nil when it is absent.
  public func optionalInteger(_ position: Int) throws -> Int? { isAbsent(position) ? nil : try integer(position) }

  /// A list of whole numbers; a single one is a list of one.
  public func integers(_ position: Int) throws -> [Int] {
    switch value(position) {
    case .integers(let list): return list
    case .integer(let integer): return [integer]
    default: throw missing(position, "a list of whole numbers")
    }
  }

  /// true or false; `fallback` when it is absent.
  public func boolean(_ position: Int, default fallback: Bool = false) throws -> Bool {
    switch value(position) {
    case .absent: return fallback
    case .boolean(let flag): return flag
    default: throw missing(position, "true or false")
    }
  }

  /// A string; `fallback` when it is absent.
  public func string(_ position: Int, default fallback: String) throws -> String {
    switch value(position) {
    case .absent: return fallback
    case .string(let text): return text
    default: throw missing(position, "a string")
    }
  }

  /// A dtype, or nil when it is absent.
  public func dtype(_ position: Int) throws -> DType? {
    switch value(position) {
    case .absent: return nil
    case .dtype(let dtype): return dtype
    default: throw missing(position, "a dtype")
    }
  }
}

extension Arguments {
  /// All tensors, those in lists too.
  package var tensors: [Tensor] {
    values.flatMap { value -> [Tensor] in
      switch value {
      case .tensor(let tensor): [tensor]
      case .tensors(let list): list
      default: []
      }
    }
  }

  /// The same with each tensor replaced.
  package func mapped(_ transform: (Tensor) throws -> Tensor) rethrows -> Arguments {
    Arguments(
      operation,
      try values.map { value in
        switch value {
        case .tensor(let tensor): .tensor(try transform(tensor))
        case .tensors(let list): .tensors(try list.map(transform))
        default: value
        }
      })
  }
}

/// What an operation gives back.
package enum Output {
  case tensor(Tensor)
  /// A tensor of positions, which Lua shows from 1.
  case indices(Tensor)
  /// A fixed number of results.
  case several([Output])
  /// A list whose length depends on the data.
  case list([Tensor])
  case boolean(Bool)
  case number(Scalar)
  case dtype(DType)

  /// All tensors in it.
  package var tensors: [Tensor] {
    switch self {
    case .tensor(let tensor), .indices(let tensor): [tensor]
    case .several(let outputs): outputs.flatMap(\.tensors)
    case .list(let list): list
    case .boolean, .number, .dtype: []
    }
  }
}

/// Arguments that an operation is tested with, described rather than stored.
public struct Sample: Sendable, ExpressibleByArrayLiteral {
  /// What one argument is like.
  public enum Value: Sendable {
    /// A float tensor of those sizes with values spread over a range.
    case float([Int], ClosedRange<Double>)
    /// An int64 tensor with values spread over a range.
    case integers([Int], ClosedRange<Int>)
    /// The same, as positions.
    case positions([Int], ClosedRange<Int>)
    /// A bool tensor of those sizes.
    case booleans([Int])
    /// A float tensor of exactly those values.
    case values([Int], [Double])
    /// A list of tensors.
    case tensors([Value])
    /// A number.
    case number(Double)
    /// A whole number.
    case integer(Int)
    /// A list of whole numbers.
    case list([Int])
    /// A truth value.
    case flag(Bool)
    /// A text.
    case text(String)
    /// An object of a class of a layer above, made with those arguments.
    case made(String, [Value])
    /// None.
    case absent

    /// A float tensor of those sizes with values from −2 to 2, and one with values from 0.2 to 3.
    public static func float(_ sizes: Int...) -> Value { .float(sizes, -2...2) }
    /// A float tensor of those sizes with values from 0.2 to 3.
    public static func positive(_ sizes: Int...) -> Value { .float(sizes, 0.2...3) }
  }

  /// By position, as the operation's parameters are.
  public let values: [Value]
  /// The arguments in the order of the parameters.
  public init(arrayLiteral elements: Value...) { values = elements }
  /// The arguments in the order of the parameters.
  public init(_ values: [Value]) { self.values = values }
}
