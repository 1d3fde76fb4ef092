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
public final class ScriptModule: InstanceModule {
  private weak var session: Session?

  init(_ name: String, _ table: TableReference, _ address: UnsafeRawPointer, _ session: Session) {
    self.session = session
    super.init(name, table, address, session.instances)
  }

  public override func entering<Result>(_ body: () throws -> Result) throws -> Result {
    guard let session else { throw LuaError(.unavailable, "the session of this \(kind) is closed") }
    return try session.entering(RunLimits(), body)
  }

  public override func child(_ name: String, _ table: TableReference, _ address: UnsafeRawPointer) -> Module {
    session?.scriptModule(name, table, address) ?? super.child(name, table, address)
  }
}

extension Session {
  /// The module of a table, if it is one; the same object as long as someone holds it.
  func scriptModule(_ slot: Slot) throws -> ScriptModule? {
    guard let (name, table, address) = try instances.instance(slot) else { return nil }
    return scriptModule(name, table, address)
  }

  fileprivate func scriptModule(_ name: String, _ table: TableReference, _ address: UnsafeRawPointer) -> ScriptModule {
    if let known = scriptModules[address]?.module { return known }
    let module = ScriptModule(name, table, address, self)
    scriptModules = scriptModules.filter { $0.value.module != nil }
    scriptModules[address] = WeakModule(module: module)
    return module
  }

  struct WeakModule {
    weak var module: ScriptModule?
  }
}
