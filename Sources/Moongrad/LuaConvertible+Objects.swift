// Tensors and modules: the objects themselves cross, not copies.

import Bindings
import LuaRuntime
import Tensors
import Training

extension Tensor: LuaConvertible {
  /// `Tensor`.
  public static var luaName: String { "Tensor" }

  /// The tensor itself, not a copy. Throws for lists and numbers too, which are no tensors.
  public static func decode(_ source: LuaSource) throws -> Tensor {
    guard let tensor = source.slot.object(tensorKind) else { throw source.mismatch("Tensor") }
    return tensor
  }

  /// A handle of the tensor: both sides share its elements, its gradient and its graph. Labels and positions in it stay the numbers that
  /// they are: those that count from 0 in Swift are no ones for scripts, which count from 1.
  public var luaValue: LuaValue { .object(self, tensorKind) }
}

/// A module of Swift's comes back as the same object; one that a script defined as a ``ScriptModule``.
extension Module: LuaConvertible {
  /// The class's name; `Module` for any.
  public static var luaName: String { self == Module.self ? "Module" : String(describing: self) }

  /// The module itself. Throws when it is of another class.
  public static func decode(_ source: LuaSource) throws -> Self {
    var module: Module? = source.slot.object(moduleKind)
    if module == nil, source.slot.type == .table { module = try source.session.scriptModule(source.slot) }
    guard let module = module as? Self else { throw source.mismatch(luaName) }
    return module
  }

  /// A handle of the module; of a ``ScriptModule`` the script's own object.
  public var luaValue: LuaValue {
    if let module = self as? ScriptModule { return .table(module.table) }
    return .object(self, moduleKind)
  }
}
