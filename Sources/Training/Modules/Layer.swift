// Layers: options, parameters, buffers and modules by name, and the operation whose arguments they are or the formula that uses
// them. A row of a table states what one of them is, once; its constructor, fields, text and samples are walks over the row.

import Tensors

/// A module that one operation computes, of the inputs and of what the module has under the names of its arguments; or a formula.
open class Layer: Module {
  /// A parameter or a buffer by its name; nil where an option left it out.
  public struct Slot {
    let name: String
    var tensor: Tensor?
    let isParameter: Bool

    /// A parameter, which is marked as one.
    static func parameter(_ name: String, _ tensor: Tensor?) throws -> Slot {
      Slot(name: name, tensor: try tensor?.markParameter(), isParameter: true)
    }
    static func buffer(_ name: String, _ tensor: Tensor?) -> Slot { Slot(name: name, tensor: tensor, isParameter: false) }
  }

  let row: LayerRow
  private(set) final var settings: Settings
  private final var slots: [Slot]
  private final var members: [(name: String, module: Module)]
  private final var plan: [Source]

  /// Where an argument of the operation comes from.
  private enum Source {
    case input(Int)
    case slot(Int)
    case constant(Argument)
    /// Whether it trains.
    case training
  }

  /// A layer of a row, with the options that its parameters name. Throws for impossible ones.
  public required init(_ row: LayerRow, _ arguments: Arguments) throws {
    self.row = row
    settings = try row.filled(Settings(arguments, row.parameters))
    let dtype = try arguments.dtype(of: row.parameters)
    // In PyTorch's order, which is that of the random numbers of initial values.
    members = try row.members(settings, dtype)
    slots = try row.state(settings, dtype)
    plan = []
    super.init(kind: row.name, inputs: row.inputs)
    prepare()
  }

  private func prepare() {
    plan = planned()
    hasSeveralOutputs = row.hasSeveralOutputs || (try? settings.flag("return_indices")) ?? false
  }

  /// Options by name win over the tensors, which win over the inputs that are left.
  private func planned() -> [Source] {
    guard let operation = row.operation else { return [] }
    var input = -1
    return operation.parameters.map { parameter in
      let name = row.renamed[parameter.name] ?? parameter.name
      if let value = row.constants[parameter.name] { return .constant(value) }
      if let place = slots.firstIndex(where: { $0.name == name }) { return .slot(place) }
      if let value = try? settings.value(name) { return .constant(value.asArgument) }
      if name == "training" { return .training }
      switch parameter.kind {
      case .tensor, .operand, .indices:
        input += 1
        return input < inputs.count ? .input(input) : .constant(.absent)
      default: return .constant(.absent)
      }
    }
  }

  private func arguments(_ inputs: [Tensor]) -> [Argument] {
    plan.map {
      switch $0 {
      case .input(let place): place < inputs.count ? .tensor(inputs[place]) : .absent
      case .slot(let place): slots[place].tensor.map { .tensor($0) } ?? .absent
      case .constant(let argument): argument
      case .training: .boolean(isTraining)
      }
    }
  }

  // MARK: Computing

  open override func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    guard takes(inputs.count) else { return try super.forward(inputs) }
    if let compute = row.compute, !row.isPlain(settings) { return try compute(self, inputs) }
    if takesOptions { return try forward(Arguments(kind, inputs.map { .tensor($0) })) }
    if worksInPlace, let operation = row.operation {
      return [try inputs[0].writing(operation.name) { try run(arguments([$0])).tensors[0] }]
    }
    return try run(arguments(inputs)).tensors
  }

  open override func forward(_ arguments: Arguments) throws -> [Tensor] {
    guard let call = row.call else { return try super.forward(arguments) }
    return try nested { try call(self, arguments) }
  }

  /// Whether so many inputs will do: those that can be left out come last.
  private func takes(_ count: Int) -> Bool { count <= inputs.count && count >= inputs.count { !$0.isOptional } }

  private var worksInPlace: Bool { row.hasInPlace && ((try? settings.flag("inplace")) ?? false) }

  package override func output(_ inputs: [Tensor]) throws -> Output {
    guard row.compute == nil, row.operation != nil, hasSeveralOutputs, inputs.count == self.inputs.count else {
      return try super.output(inputs)
    }
    return try run(arguments(inputs))
  }

  open override func forward(_ x: Tensor) throws -> Tensor { try forward([x])[0] }
  open override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try forward([a, b])[0] }

  /// Runs the operation; what it refuses is this layer's to say.
  func run(_ arguments: [Argument]) throws -> Output {
    guard let operation = row.operation else { preconditionFailure("\(kind) is not an operation") }
    do {
      return try operation.run(Arguments(operation.name, arguments))
    } catch let error as TensorError where error.operation == operation.name {
      throw TensorError(error.kind, kind, error.facts)
    }
  }

  /// The operation's arguments with others in the places of some, by name.
  func arguments(_ inputs: [Tensor], replacing replaced: [String: Argument]) -> [Argument] {
    zip(row.operation?.parameters ?? [], arguments(inputs)).map { replaced[$0.name] ?? $1 }
  }

  package override func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? {
    guard let operation = row.operation, row.compute == nil || row.isPlain(settings), inputs.count == self.inputs.count else { return nil }
    return (operation, Arguments(kind, arguments(inputs)))
  }

  // MARK: Contents

  open override var parameters: [(name: String, tensor: Tensor?)] { slots.filter(\.isParameter).map { ($0.name, $0.tensor) } }
  open override var buffers: [(name: String, tensor: Tensor?)] {
    slots.filter { !$0.isParameter && $0.tensor != nil }.map { ($0.name, $0.tensor) }
  }

  open override var children: [(name: String, module: Module)] { members }

  open override func set(child name: String, _ module: Module) throws {
    guard let place = members.firstIndex(where: { $0.name == name }) else { return try super.set(child: name, module) }
    members[place].module = module
  }

  /// A module of those that the row named, which may have been replaced since.
  final func member(_ name: String) throws -> Module {
    guard let member = members.first(where: { $0.name == name }) else {
      throw TensorError(.argument, kind, "the module \(name) is absent")
    }
    return member.module
  }

  final func hasMember(_ name: String) -> Bool { members.contains { $0.name == name } }

  /// A tensor by its name.
  final func tensor(_ name: String) -> Tensor? { slots.first { $0.name == name }?.tensor }

  open override func set(parameter name: String, _ tensor: Tensor?) throws {
    guard let place = slots.firstIndex(where: { $0.name == name && $0.isParameter }) else {
      return try super.set(parameter: name, tensor)
    }
    slots[place].tensor = try row.required.contains(name) ? checked(required: name, tensor) : checked(parameter: name, tensor)
  }

  open override func set(buffer name: String, _ tensor: Tensor?) throws {
    guard let place = slots.firstIndex(where: { $0.name == name && !$0.isParameter }) else { return try super.set(buffer: name, tensor) }
    slots[place].tensor = tensor
  }

  /// The argument that an option was made of.
  final func option(_ parameter: Parameter) throws -> Argument {
    let value = try settings.value(parameter.name)
    // No value, where there usually is one.
    if case .none = value, !parameter.defaultText.isEmpty { return .boolean(false) }
    return value.asArgument
  }

  open override func extraDescription(indexBase base: Int) -> String { row.text(settings, base) }

  fileprivate func set(_ name: String, _ value: ModuleField) throws {
    var changed = settings
    try changed.set(name, value)
    settings = try row.filled(changed)
    prepare()
  }
}

/// One layer: its name, options, tensors and samples, the operation that computes it, and its text.
public struct LayerRow: @unchecked Sendable {
  let name: String
  let summary: String
  let parameters: [Parameter]
  let inputs: [Parameter]
  /// Absent for formulas of several.
  let operation: TensorOperation?
  /// Options under other names than the operation's arguments have: the option by the argument.
  let renamed: [String: String]
  /// Arguments of the operation that are the row's own.
  let constants: [String: Argument]
  /// Whether one of the options is to write the result into the input.
  let hasInPlace: Bool
  /// Parameters that cannot be absent.
  let required: Set<String>
  let hasSeveralOutputs: Bool
  /// How many dimensions options of sizes are for, which a single number is repeated for; 0 leaves them as they are given.
  let rank: Int
  let samples: [ModuleSample]
  /// What is printed between the parentheses.
  let prints: [Printed]
  /// Options that follow from others, and checks of their values.
  let complete: (inout Settings) throws -> Void
  let state: (Settings, DType?) throws -> [Layer.Slot]
  /// What is computed, where it is more than the operation, and whether with such options it is not.
  let compute: ((Layer, [Tensor]) throws -> [Tensor])?
  let isPlain: (Settings) -> Bool
  /// The same where calls take more than tensors.
  let call: ((Layer, Arguments) throws -> [Tensor])?
  /// The modules that it is made of, by name.
  let members: (Settings, DType?) throws -> [(name: String, module: Module)]

  /// An option in the text.
  enum Printed {
    /// Its value alone, and with its name.
    case value(String)
    case named(String)
    /// With its name unless it has its default, or another value.
    case unlessDefault(String)
    case unless(String, String)
    /// With its name and in quotes.
    case quoted(String)
  }

  init(
    _ name: String, _ summary: String, _ parameters: [Parameter] = [], inputs: [Parameter] = [.input], by operation: String? = nil,
    renamed: [String: String] = [:], constants: [String: Argument] = [:], required: Set<String> = ["weight"],
    hasSeveralOutputs: Bool = false, rank: Int = 0,
    prints: [Printed], samples: [ModuleSample],
    complete: @escaping (inout Settings) throws -> Void = { _ in },
    isPlain: @escaping (Settings) -> Bool = { _ in false }, compute: ((Layer, [Tensor]) throws -> [Tensor])? = nil,
    call: ((Layer, Arguments) throws -> [Tensor])? = nil,
    members: @escaping (Settings, DType?) throws -> [(name: String, module: Module)] = { _, _ in [] },
    state: @escaping (Settings, DType?) throws -> [Layer.Slot] = { _, _ in [] }
  ) {
    let computing = operation.flatMap { TensorOperation.named($0) }
    guard operation == nil || computing != nil else { preconditionFailure("\(name): there is no operation \(operation ?? "")") }
    self.name = name
    self.summary = summary
    self.parameters = parameters
    self.inputs = inputs
    self.operation = computing
    self.renamed = renamed
    self.constants = constants
    hasInPlace = parameters.contains { $0.name == "inplace" }
    self.required = required
    self.hasSeveralOutputs = hasSeveralOutputs
    self.rank = rank
    self.prints = prints
    self.samples = samples
    self.complete = complete
    self.compute = compute
    self.isPlain = isPlain
    self.call = call
    self.members = members
    self.state = state
  }

  /// Options with sizes for each dimension, and with those that follow from others.
  fileprivate func filled(_ settings: Settings) throws -> Settings {
    var settings = settings
    if rank > 0 { try settings.repeatSizes(rank) }
    try complete(&settings)
    return settings
  }

  fileprivate func text(_ settings: Settings, _ base: Int) -> String {
    let options = settings.parameters
    return prints.compactMap { printed -> String? in
      func value(_ name: String) -> String { (try? settings.value(name).text(indexBase: base, isBare: true)) ?? "?" }
      switch printed {
      case .value(let name): return value(name)
      case .named(let name): return "\(name)=\(value(name))"
      case .quoted(let name): return "\(name)='\(value(name))'"
      case .unlessDefault(let name):
        let usual = options.first { $0.name == name }.flatMap { try? settings.usual($0, rank).text(indexBase: base, isBare: true) }
        return value(name) == usual ? nil : "\(name)=\(value(name))"
      case .unless(let name, let text): return value(name) == text ? nil : "\(name)=\(value(name))"
      }
    }.joined(separator: ", ")
  }

  /// The class of modules that the row is, of the family `family`.
  func kind<Family: Layer>(_ family: Family.Type) -> ModuleKind {
    let family = LayerRow.types[name] ?? family
    let shown = parameters.filter { $0.kind != .dtype && $0.kind != .module && $0.name != "bias" }
    return ModuleKind(
      name, summary, of: family, parameters,
      fields: shown.map { parameter in (parameter.name, { try $0.settings.value(parameter.name) }) },
      writers: Dictionary(
        uniqueKeysWithValues: shown.filter { [.number, .boolean].contains($0.kind) }.map { parameter in
          (parameter.name, { try $0.set(parameter.name, $1) })
        }),
      samples: samples, row: self
    ) { try family.init(self, $0) }
  }
}

extension Arguments {
  /// The dtype that is asked for, where a class takes one.
  fileprivate func dtype(of parameters: [Parameter]) throws -> DType? {
    try parameters.lastIndex { $0.kind == .dtype }.flatMap { try dtype($0) }
  }
}
