// What a class of modules declares about itself. Lua's constructors and fields, help, and the tests are all walks
// over the list of these (see ModuleCatalogue.swift), so adding a module edits one file: its own.

import Tensors

/// A class of modules: its name, constructor, fields and samples.
public struct ModuleKind: @unchecked Sendable {
  /// `Linear`.
  public let name: String
  /// One sentence.
  public let summary: String
  /// The constructor's arguments, in PyTorch's order.
  public let parameters: [Parameter]
  /// What can be read of a module of this class: `in_features`, `p`. Throws for a module of another class.
  public let fields: [(name: String, read: (Module) throws -> ModuleField)]
  /// The fields that can be assigned to, and how. Throws for a value of the wrong kind or out of range, and for a module
  /// of another class.
  public let writers: [String: (Module, ModuleField) throws -> Void]
  /// What the class is tested with.
  public let samples: [ModuleSample]
  /// Makes a module from decoded arguments; indices and dimensions count from 0.
  public let make: (Arguments) throws -> Module
  private let swiftClass: Module.Type
  /// What a layer's class is made of.
  let row: LayerRow?

  /// `Class` ties the fields to what `make` makes.
  init<Class: Module>(
    _ name: String, _ summary: String, of swiftClass: Class.Type, _ parameters: [Parameter] = [],
    fields: [(name: String, read: (Class) throws -> ModuleField)] = [],
    writers: [String: (Class, ModuleField) throws -> Void] = [:], samples: [ModuleSample], row: LayerRow? = nil,
    make: @escaping (Arguments) throws -> Class
  ) {
    // A host may give its own class any name, so a module found by its kind can be of another class.
    func own(_ module: Module) throws -> Class {
      guard let module = module as? Class else {
        throw TensorError(.argument, name, "a \(type(of: module)) named \(module.kind) has not the fields of \(name)")
      }
      return module
    }
    self.name = name
    self.summary = summary
    self.parameters = parameters
    self.swiftClass = swiftClass
    self.fields = fields.map { field in (field.name, { try field.read(own($0)) }) }
    self.writers = writers.mapValues { write in { try write(own($0), $1) } }
    self.samples = samples
    self.row = row
    self.make = make
  }

  /// The type of its modules in Swift.
  package var typeName: String { "\(swiftClass)" }

  /// Whether the module is of this class, not only of its name.
  func describes(_ module: Module) -> Bool { module.kind == name && type(of: module) == swiftClass }
}

/// Constructor arguments and inputs that a class of modules is tested with.
public struct ModuleSample: Sendable {
  /// The constructor's arguments, in the order of the parameters.
  public let arguments: Sample
  /// The inputs of the module made with them.
  public let inputs: Sample

  package init(_ arguments: Sample, _ inputs: Sample) {
    self.arguments = arguments
    self.inputs = inputs
  }

  /// A module made with the sample's arguments, and what its call takes, float tensors in `dtype`.
  package func instance(of kind: ModuleKind, dtype: DType = .float32) throws -> (module: Module, call: Arguments) {
    let (arguments, inputs) = try decoded(for: kind, dtype: dtype)
    return (try kind.make(Arguments(kind.name, arguments)), Arguments(kind.name, inputs))
  }

  /// The constructor's arguments and the inputs; the same at every call but for the initial values of modules among them.
  package func decoded(for kind: ModuleKind, dtype: DType = .float32) throws -> ([Argument], [Argument]) {
    // Arguments and inputs are made together, so that no values repeat among them.
    let parameters = kind.parameters.prefix(arguments.values.count)
    let kinds = parameters.map(\.kind) + inputs.values.map { _ in .tensor }
    let given = arguments.values + inputs.values
    var values = try Sample(given.map { if case .made = $0 { .absent } else { $0 } }).arguments(of: kinds, dtype: dtype)
    for (position, value) in given.enumerated() {
      guard case .made(let name, let own) = value, let inner = ModuleCatalogue.kind(named: name) else { continue }
      values[position] = .object(try ModuleSample(Sample(own), []).instance(of: inner, dtype: dtype).module)
    }
    return (Array(values.prefix(parameters.count)), Array(values.dropFirst(parameters.count)))
  }
}
