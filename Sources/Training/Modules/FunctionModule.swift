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

  public override final var buffers: [(name: String, tensor: Tensor?)] {
    zip(settings.parameters, settings.values).compactMap { parameter, value in
      if case .tensor(let tensor) = value { (parameter.name, tensor) } else { nil }
    }
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
  }

  let name: String
  let summary: String
  let parameters: [Parameter]
  let inputs: [Parameter]
  let samples: [ModuleSample]
  /// Throws for impossible options.
  let make: (Settings) throws -> Function

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
