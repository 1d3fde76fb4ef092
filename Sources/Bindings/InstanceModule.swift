// Modules that scripts define, as Swift modules: what they hold is read from the script's object each time, so that there is one
// tree, and one set of walks over it, for both kinds.

import LuaRuntime
import Tensors
import Training

/// An object of a class that a script made with `nn.Module`.
open class InstanceModule: Module {
  /// The object.
  public let table: TableReference
  private let instances: Instances
  private let address: UnsafeRawPointer

  /// `address` identifies the object.
  public init(_ name: String, _ table: TableReference, _ address: UnsafeRawPointer, _ instances: Instances) {
    self.table = table
    self.address = address
    self.instances = instances
    super.init(kind: name)
  }

  /// Runs `body`, which calls into Lua, in the script's surroundings.
  open func entering<Result>(_ body: () throws -> Result) throws -> Result { try body() }

  open override var identity: ModuleIdentity { ModuleIdentity(address) }

  // MARK: Contents

  // What is listed is empty where it cannot be: when memory is short, or the session is gone. Nothing can be thrown there.
  private var contents: [Instances.Entry] { (try? entering { try instances.contents(of: table) }) ?? [] }

  open override var parameters: [(name: String, tensor: Tensor?)] {
    contents.compactMap { if case .parameter(let tensor) = $0.content { ($0.name, tensor) } else { nil } }
  }

  open override var buffers: [(name: String, tensor: Tensor?)] {
    contents.compactMap { if case .buffer(let tensor, _) = $0.content { ($0.name, tensor) } else { nil } }
  }

  open override var passingBuffers: Set<String> {
    Set(contents.compactMap { if case .buffer(_, isSaved: false) = $0.content { $0.name } else { nil } })
  }

  open override var children: [(name: String, module: Module)] {
    contents.compactMap { entry in
      switch entry.content {
      case .module(let module): (entry.name, module)
      case .instance(let name, let table, let address): (entry.name, child(name, table, address))
      default: nil
      }
    }
  }

  /// The module of another object.
  open func child(_ name: String, _ table: TableReference, _ address: UnsafeRawPointer) -> Module {
    InstanceModule(name, table, address, instances)
  }

  open override func set(parameter name: String, _ tensor: Tensor?) throws {
    guard parameters.contains(where: { $0.name == name }) else { return try super.set(parameter: name, tensor) }
    let tensor = try checked(parameter: name, tensor)
    try put(name, tensor)
  }

  open override func set(buffer name: String, _ tensor: Tensor?) throws {
    guard buffers.contains(where: { $0.name == name }) else { return try super.set(buffer: name, tensor) }
    try put(name, tensor)
  }

  private func put(_ name: String, _ tensor: Tensor?) throws {
    let value = tensor.map { Value.object($0, $0.batch.isEmpty ? tensorKind : batchedKind) } ?? .nil
    try entering { try instances.put(table, name, value) }
  }

  open override var isTraining: Bool {
    get {
      guard case .boolean(let flag)? = try? entering({ try table.get("training") }) else { return true }
      return flag
    }
    set { try? entering { try instances.put(table, "training", .boolean(newValue)) } }
  }

  open override var staysInEvaluation: Bool {
    get {
      guard case .boolean(let flag)? = try? entering({ try table.get("__stays") }) else { return false }
      return flag
    }
    set { try? entering { try instances.put(table, "__stays", newValue ? .boolean(true) : .nil) } }
  }

  open override var mergesEqualChildren: Bool { kind == "ModuleList" }

  open override func extraDescription(indexBase base: Int) -> String {
    guard case .string(let text)? = try? entering({ try instances.extra.call([.table(table)]).first }) else { return "" }
    return text
  }

  open override func ownCopy() throws -> Module? {
    guard let copy = instances.copy else { return nil }
    return try entering {
      guard case .table(let table)? = try copy.call([.table(table)]).first, let address = try table.read({ $0.address }) else { return nil }
      return child(kind, table, address)
    }
  }

  // MARK: Computing

  /// Modules of scripts take what their `forward` takes.
  open override func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    try entering {
      try table.call(inputs.map { .object($0, tensorKind) }).enumerated().map { index, value in
        guard let tensor = value.tensor else {
          throw ArgumentError("\(kind): result \(index + 1): expected a tensor, got \(Decoder.found(value))")
        }
        return tensor
      }
    }
  }

  open override func forward(_ x: Tensor) throws -> Tensor { try single([x]) }
  open override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try single([a, b]) }

  private func single(_ inputs: [Tensor]) throws -> Tensor {
    guard let first = try forward(inputs).first else { throw ArgumentError("\(kind): result: expected a tensor, got nil") }
    return first
  }
}

/// How the objects of a state's scripts are read and written: functions of Lua/modules.lua.
public final class Instances {
  struct Entry {
    enum Content {
      case parameter(Tensor)
      case buffer(Tensor, isSaved: Bool)
      case module(Module)
      case instance(name: String, TableReference, UnsafeRawPointer)
    }
    let name: String
    let content: Content
  }

  /// contents(object): a list of names, values and whether each tensor is a buffer ("buffer", "passing") or not.
  private let list: FunctionReference
  /// class_of(object): the name of its class, nil for what is none.
  private let className: FunctionReference
  /// put(object, name, value): into the field that has the name.
  private let writer: FunctionReference
  /// extra(object): what it prints beside its children.
  let extra: FunctionReference
  /// deepcopy(object), once there is one.
  var copy: FunctionReference?

  init(list: FunctionReference, className: FunctionReference, put: FunctionReference, extra: FunctionReference) {
    self.list = list
    self.className = className
    writer = put
    self.extra = extra
  }

  /// The module that a slot holds, of either kind; nil where it holds none.
  func module(_ slot: Slot) throws -> Module? {
    if let module = slot.object(moduleKind) { return module }
    guard let found = try instance(slot) else { return nil }
    return InstanceModule(found.name, found.table, found.address, self)
  }

  /// The object of a script's class that a slot holds.
  public func instance(_ slot: Slot) throws -> (name: String, table: TableReference, address: UnsafeRawPointer)? {
    guard slot.type == .table, let address = slot.address, case .table(let table) = try slot.value(),
      case .string(let name)? = try className.call([.table(table)]).first
    else { return nil }
    return (name, table, address)
  }

  func contents(of table: TableReference) throws -> [Entry] {
    guard case .table(let entries)? = try list.call([.table(table)]).first else { return [] }
    return try entries.read { entries in
      var result: [Entry] = []
      var name = ""
      var content: Entry.Content?
      try entries.forEachElement { position, element in
        switch position % 3 {
        case 1: name = element.string ?? ""
        case 2:
          if let tensor = element.object(tensorKind) ?? element.object(batchedKind) {
            content = .parameter(tensor)
          } else if let module = element.object(moduleKind) {
            content = .module(module)
          } else if let found = try instance(element) {
            content = .instance(name: found.name, found.table, found.address)
          } else {
            content = nil
          }
        default:
          if case .parameter(let tensor)? = content, let role = element.string, role != "parameter" {
            content = .buffer(tensor, isSaved: role == "buffer")
          }
          if let content { result.append(Entry(name: name, content: content)) }
        }
      }
      return result
    }
  }

  func put(_ table: TableReference, _ name: String, _ value: Value) throws { try writer.call([.table(table), .string(name), value]) }
}

extension Call {
  /// Returns a module as scripts know it.
  mutating func returns(module: Module) {
    if let instance = module as? InstanceModule { returns(.table(instance.table)) } else { returns(module, moduleKind) }
  }
}
