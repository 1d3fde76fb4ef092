// Swift functions that scripts can call.
import CLuaShim

/// A Swift closure that Lua can call. The Lua function keeps it alive and lets go when it is collected.
public final class NativeFunction {
  /// Reads its arguments from the call and leaves its results there. What it throws is raised in Lua.
  public typealias Body = (inout Call) throws -> Void

  /// For messages and documentation; Lua finds the names of tracebacks itself.
  public let name: String
  @usableFromInline let body: Body

  /// `name` is what ``name`` gives.
  public init(_ name: String = "?", _ body: @escaping Body) {
    self.name = name
    self.body = body
  }
}

/// What the trampoline calls: runs the closure, and turns its end into a result count.
let nativeEntry: ml_callback = { lua, record, object in
  Unmanaged<NativeFunction>.fromOpaque(object!)._withUnsafeGuaranteedRef { function in
    var call = Call(lua!, record!)
    do {
      try function.body(&call)
      return call.results
    } catch {
      return call.fail(error)
    }
  }
}
