// Modules that scripts define, as Swift modules.

import Bindings
import LuaRuntime
import Tensors
import Training

/// A module whose class a script defined with `nn.Module`.
///
/// It computes by calling the script's object, and lists the parameters, buffers and children that the script gave
/// it, so that Swift's optimizers, checkpoints and training loops work on it. It keeps the object alive; it works as
/// long as its session.
public final class ScriptModule: Module {
  let table: TableReference
  private weak var session: Session?

  init(_ name: String, _ table: TableReference, _ session: Session) {
    self.table = table
    self.session = session
    super.init(kind: name)
  }

  // MARK: Computing

  /// Modules of scripts take what their `forward` takes.
  public override func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    let session = try living()
    return try session.entering {
      try call(inputs).enumerated().map { index, value in
        try session.decode(value, root: "\(kind): result \(index + 1)")
      }
    }
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try single([x]) }
  public override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try single([a, b]) }

  private func single(_ inputs: [Tensor]) throws -> Tensor {
    let session = try living()
    return try session.entering { try session.decode(try call(inputs), root: "\(kind): result") }
  }

  /// The object called as a script calls it, its hooks included.
  private func call(_ inputs: [Tensor]) throws -> [LuaValue] {
    try table.call(inputs.map { .object($0, tensorKind) })
  }

  // MARK: Contents

  public override var parameters: [(name: String, tensor: Tensor?)] {
    own("named_parameters") { $0.object(tensorKind) }.map { ($0.name, $0.value) }
  }

  public override var buffers: [(name: String, tensor: Tensor?)] {
    own("named_buffers") { $0.object(tensorKind) }.map { ($0.name, $0.value) }
  }

  public override var children: [(name: String, module: Module)] {
    guard let session else { return [] }
    return own("named_children") { try $0.object(moduleKind) ?? session.scriptModule($0) }.map { ($0.name, $0.value) }
  }

  public override func set(parameter name: String, _ tensor: Tensor?) throws {
    guard parameters.contains(where: { $0.name == name }) else { return try super.set(parameter: name, tensor) }
    let tensor = try checked(parameter: name, tensor)
    try living().entering { try table.set(name, tensor.map { .object($0, tensorKind) } ?? .nil) }
  }

  /// What a method of the object lists as its own: names without a dot, which belong to children.
  ///
  /// The methods are the library's and raise only when memory is short or a script has replaced them; the list is
  /// empty then, since a module's contents are asked for where nothing can be thrown.
  private func own<Content>(_ method: String, _ read: (Slot) throws -> Content?) -> [(name: String, value: Content)] {
    guard let session else { return [] }
    let list: [(name: String, value: Content)]? = try? session.entering {
      guard case .function(let method) = try table.get(method),
        case .table(let entries)? = try method.call([.table(table)]).first
      else { return [] }
      var list: [(name: String, value: Content)] = []
      try entries.read { entries in
        try entries.forEachElement { _, entry in
          let name = try entry.withElement(1) { $0.string }
          guard let name, !name.contains("."), let value = try entry.withElement(2, read) else { return }
          list.append((name, value))
        }
      }
      return list
    }
    return list ?? []
  }

  private func living() throws -> Session {
    guard let session else { throw LuaError(.unavailable, "the session of this \(kind) is closed") }
    return session
  }
}

extension Session {
  /// The module of a table, if it is one; the same object as long as someone holds it.
  func scriptModule(_ slot: Slot) throws -> ScriptModule? {
    if let address = slot.address, let known = scriptModules[address]?.module { return known }
    guard case .table(let table) = try slot.value(), let address = slot.address,
      case .function? = try? table.get("named_parameters"), case .string(let name)? = try? table.get("__name")
    else { return nil }
    let module = ScriptModule(name, table, self)
    scriptModules = scriptModules.filter { $0.value.module != nil }
    scriptModules[address] = WeakModule(module: module)
    return module
  }

  struct WeakModule {
    weak var module: ScriptModule?
  }
}
