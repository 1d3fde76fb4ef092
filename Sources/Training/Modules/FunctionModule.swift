// Modules that are functions with options: activations and losses. A row of their tables states what one of them is;
// how its options become fields, buffers and a constructor is written here, once.

import Tensors

/// A function of tensors, with options, as a module without parameters. Options that are tensors are buffers.
public class FunctionModule: Module {
  private let row: FunctionRow
  private(set) final var settings: Settings
  /// The function with the options filled in.
  @exclusivity(unchecked) private var function: FunctionRow.Function

  required init(_ row: FunctionRow, _ arguments: Arguments) throws {
    self.row = row
    settings = try Settings(arguments, row.parameters)
    function = try row.make(settings)
    super.init(kind: row.name, inputs: row.inputs)
  }

  public override final func forward(_ x: Tensor) throws -> Tensor {
    guard case .one(let function) = function else { return try super.forward(x) }
    return try function(x)
  }

  public override final func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    guard case .two(let function) = function else { return try super.forward(a, b) }
    return try function(a, b)
  }

  public override final func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    guard case .several(let function) = function, inputs.count == self.inputs.count else { return try super.forward(inputs) }
    return [try function(inputs)]
  }

  package override final func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? {
    guard let operation = row.operation else { return nil }
    return (operation, Arguments(operation.name, try arguments(of: operation, inputs)))
  }

  /// The operation's arguments: the inputs, and options by name.
  func arguments(of operation: TensorOperation, _ inputs: [Tensor]) throws -> [Argument] {
    try operation.parameters.enumerated().map { position, parameter in
      if position < inputs.count { return .tensor(inputs[position]) }
      guard settings.parameters.contains(where: { $0.name == parameter.name }) else { return .absent }
      return try settings.value(parameter.name).asArgument
    }
  }

  public override final var buffers: [(name: String, tensor: Tensor?)] {
    zip(settings.parameters, settings.values).compactMap { parameter, value in
      if case .tensor(let tensor) = value { (parameter.name, tensor) } else { nil }
    }
  }

  public override final func set(buffer name: String, _ tensor: Tensor?) throws {
    guard buffers.contains(where: { $0.name == name }) else { return try super.set(buffer: name, tensor) }
    try set(name, .tensor(tensor))
  }

  fileprivate func field(_ name: String) throws -> ModuleField { try settings.value(name) }

  fileprivate func set(_ name: String, _ value: ModuleField) throws {
    var changed = settings
    try changed.set(name, value)
    function = try row.make(changed)
    settings = changed
  }
}

/// One activation or loss: its name, options and samples, and the function that the options make.
struct FunctionRow: @unchecked Sendable {
  enum Function {
    case one((Tensor) throws -> Tensor)
    case two((Tensor, Tensor) throws -> Tensor)
    case several(([Tensor]) throws -> Tensor)
  }

  let name: String
  let summary: String
  let parameters: [Parameter]
  let inputs: [Parameter]
  let samples: [ModuleSample]
  /// The operation's name, where it is not the module's but for capitals and underscores.
  private let function: String?
  /// The operation that it is. Looked up by whoever asks: the tables are made whenever a session opens.
  var operation: TensorOperation? { FunctionRow.operations[function.map(FunctionRow.plain) ?? FunctionRow.plain(name)] }
  /// Throws for impossible options.
  let make: (Settings) throws -> Function

  /// `function` names the operation where it has not the module's name, which it has but for capitals and underscores.
  init(
    name: String, summary: String, function: String? = nil, parameters: [Parameter], inputs: [Parameter], samples: [ModuleSample],
    make: @escaping (Settings) throws -> Function
  ) {
    self.name = name
    self.function = function
    self.summary = summary
    self.parameters = parameters
    self.inputs = inputs
    self.samples = samples
    self.make = make
  }

  private static func plain(_ name: String) -> String { name.lowercased().filter { $0 != "_" } }
  private static let operations = Dictionary(Catalogue.operations.map { (plain($0.name), $0) }, uniquingKeysWith: { first, _ in first })

  /// The class of modules that the row is, of the family `family`.
  func kind<Family: FunctionModule>(_ family: Family.Type) -> ModuleKind {
    ModuleKind(
      name, summary, of: family, parameters,
      fields: parameters.map { parameter in (parameter.name, { try $0.field(parameter.name) }) },
      writers: Dictionary(
        uniqueKeysWithValues: parameters.map { parameter in (parameter.name, { try $0.set(parameter.name, $1) }) }),
      samples: samples
    ) { try family.init(self, $0) }
  }
}

extension [FunctionRow] {
  /// The row of that name. `family` is what all of them are, for the error: `Loss`.
  func row(named name: String, _ family: String) throws -> FunctionRow {
    guard let row = first(where: { $0.name == name }) else {
      throw TensorError(.argument, family, "there is no \(family.lowercased()) \(name); there is \(map(\.name).joined(separator: ", "))")
    }
    return row
  }
}
