// The options of modules that are functions: decoded from a constructor's arguments by what its parameters say, and
// read, printed and assigned by name.

import Tensors

/// Options with their values, in the order of the parameters that declare them.
struct Settings {
  let kind: String
  let parameters: [Parameter]
  private(set) var values: [ModuleField]

  /// Values come from the arguments, and from the parameters' default texts where those are absent.
  init(_ arguments: Arguments, _ parameters: [Parameter]) throws {
    kind = arguments.operation
    self.parameters = parameters
    values = try parameters.enumerated().map { position, parameter in
      try arguments.isAbsent(position)
        ? Settings.declared(parameter) : Settings.given(arguments, position, parameter)
    }
  }

  private static func given(_ arguments: Arguments, _ position: Int, _ parameter: Parameter) throws -> ModuleField {
    switch parameter.kind {
    case .number:
      // None, for options that may have no value.
      if case .boolean(false) = arguments.value(position) { return .none }
      if case .integer(let whole) = try arguments.number(position) { return .integer(Int(whole)) }
      return .number(try arguments.number(position).real)
    case .integer: return .integer(try arguments.integer(position))
    case .dimension, .index: return .index(try arguments.integer(position))
    case .boolean: return .boolean(try arguments.boolean(position))
    case .string: return .string(try arguments.string(position, default: ""))
    case .tensor: return .tensor(try arguments.tensor(position))
    case .numbers:
      guard case .number(let number) = arguments.value(position) else {
        throw TensorError(.argument, arguments.operation, "\(parameter.name) must be a number")
      }
      return .number(number.real)
    case .integers, .shape, .sizesOrName:
      if case .string(let name) = arguments.value(position) { return .string(name) }
      if case .integer(let size) = arguments.value(position) { return .integer(size) }
      return .shape(try arguments.integers(position))
    case .dtype: return try arguments.dtype(position).map { .string($0.description) } ?? .none
    case .module:
      // An activation may be told by its name.
      if case .string(let name) = arguments.value(position) { return .string(name) }
      guard case .object(let object) = arguments.value(position), let module = object as? Module else {
        throw TensorError(.argument, arguments.operation, "\(parameter.name) must be a module")
      }
      return .module(module)
    default: throw TensorError(.argument, arguments.operation, "the option \(parameter.name) is of a kind that no module keeps")
    }
  }

  private static func declared(_ parameter: Parameter) -> ModuleField {
    let text = parameter.defaultText
    switch parameter.kind {
    case .number: return Double(text).map { .number($0) } ?? .none
    case .integer: return Int(text).map { .integer($0) } ?? .none
    case .dimension, .index: return Int(text).map { .index($0) } ?? .none
    case .boolean: return text.isEmpty ? .none : .boolean(text == "true")
    case .string: return .string(String(text.dropFirst().dropLast()))
    case .integers, .sizesOrName: return Int(text).map { .integer($0) } ?? .none
    case .module: return text.isEmpty ? .none : .string(String(text.dropFirst().dropLast()))
    case .shape, .dtype, .numbers: return .none
    default: return .tensor(nil)
    }
  }

  /// The value that an option has where it is absent, for sizes of so many dimensions.
  func usual(_ parameter: Parameter, _ rank: Int) throws -> ModuleField {
    let declared = Settings.declared(parameter)
    guard rank > 0, parameter.kind == .integers || parameter.kind == .sizesOrName, case .integer(let size) = declared else {
      return declared
    }
    return .shape(Array(repeating: size, count: rank))
  }

  /// Makes options that are sizes ones of each of so many dimensions.
  mutating func repeatSizes(_ rank: Int) throws {
    for (position, parameter) in parameters.enumerated() where parameter.kind == .integers || parameter.kind == .sizesOrName {
      switch values[position] {
      case .integer(let size): values[position] = .shape(Array(repeating: size, count: rank))
      case .shape(let sizes) where sizes.count == 1: values[position] = .shape(Array(repeating: sizes[0], count: rank))
      case .shape(let sizes):
        guard sizes.count == rank else {
          throw TensorError(
            .argument, kind, "\(parameter.name) has \(sizes.count) sizes, but there are \(rank) dimensions: a number or \(rank) are needed")
        }
      default: break
      }
    }
  }

  /// Puts a value in the place of one, of whatever kind.
  mutating func replace(_ name: String, _ value: ModuleField) throws { values[try position(name)] = value }

  // MARK: By name

  func integer(_ name: String) throws -> Int {
    switch try value(name) {
    case .integer(let integer), .index(let integer): return integer
    case .number(let number):
      guard let whole = Int(exactly: number) else { fallthrough }
      return whole
    default: throw TensorError(.argument, kind, "\(name) is not a whole number")
    }
  }

  /// A whole number from a least one on.
  func integer(_ name: String, atLeast least: Int) throws -> Int {
    let number = try integer(name)
    guard number >= least, number < 1 << 48 else {
      throw TensorError(.argument, kind, "\(name) must be \(least) or more\(number < least ? "" : ", and can be no size"), got \(number)")
    }
    return number
  }

  func module(_ name: String) throws -> Module? { if case .module(let module) = try value(name) { module } else { nil } }
  func text(_ name: String) throws -> String { if case .string(let text) = try value(name) { text } else { "" } }
  func flag(_ name: String) throws -> Bool { if case .boolean(true) = try value(name) { true } else { false } }
  func sizes(_ name: String) throws -> [Int] {
    switch try value(name) {
    case .shape(let sizes): sizes
    case .integer(let size): [size]
    default: []
    }
  }
  func real(_ name: String) throws -> Double? {
    switch try value(name) {
    case .number(let number): number
    case .integer(let integer): Double(integer)
    default: nil
    }
  }

  private func position(_ name: String) throws -> Int {
    guard let position = parameters.firstIndex(where: { $0.name == name }) else {
      throw TensorError(.argument, kind, "there is no option \(name)")
    }
    return position
  }

  func value(_ name: String) throws -> ModuleField { values[try position(name)] }

  /// Changes a value to another of its kind; none stands for an absent dimension or tensor.
  mutating func set(_ name: String, _ value: ModuleField) throws {
    let position = try position(name)
    switch (parameters[position].kind, value) {
    case (.number, .number), (.number, .integer), (.integer, .integer), (.dimension, .index), (.index, .index),
      (.boolean, .boolean), (.string, .string), (.tensor, .tensor):
      values[position] = value
    case (.dimension, .none), (.tensor, .none):
      values[position] = Settings.declared(parameters[position])
    default: throw TensorError(.argument, kind, "\(value.text(indexBase: 0)) is no value for \(name)")
    }
  }

  // MARK: By position, for those who declared the parameters

  func number(_ position: Int) -> Double {
    switch values[position] {
    case .number(let number): number
    case .integer(let whole): Double(whole)
    default: .nan
    }
  }

  func index(_ position: Int) -> Int? {
    if case .index(let index) = values[position] { index } else { nil }
  }

  func boolean(_ position: Int) -> Bool {
    if case .boolean(true) = values[position] { true } else { false }
  }

  func string(_ position: Int) -> String {
    if case .string(let text) = values[position] { text } else { "" }
  }

  func tensor(_ position: Int) -> Tensor? {
    if case .tensor(let tensor) = values[position] { tensor } else { nil }
  }

  /// How a loss over many elements becomes one.
  func reduction(_ position: Int) throws -> Reduction {
    guard let reduction = Reduction(rawValue: string(position)) else {
      throw TensorError(.argument, kind, "reduction must be \"mean\", \"sum\" or \"none\", got \"\(string(position))\"")
    }
    return reduction
  }

  /// As PyTorch prints options, `negative_slope=0.01`. In-place operation is mentioned only where it is chosen.
  func description(indexBase base: Int) -> String {
    zip(parameters, values).compactMap { parameter, value in
      if parameter.name == "inplace", case .boolean(false) = value { return nil }
      return "\(parameter.name)=\(value.text(indexBase: base))"
    }.joined(separator: ", ")
  }
}
