// Swift functions that scripts call.

import LuaRuntime

extension Session {
  /// Makes a Swift function a global of scripts.
  ///
  /// Arguments are converted by type, and a wrong one is an error that names function, argument, what was expected
  /// and what came. Arguments beyond the parameters are ignored, and missing ones are nil, as in Lua. Several results
  /// are a tuple. Errors that it throws are Lua errors, which `pcall` catches and which come back to the host as
  /// `LuaError.cause`.
  ///
  /// A last parameter ``LuaValues`` takes any number of arguments, and as a result gives any number. A parameter ``LuaOptions`` takes
  /// a table of named options, whose names are `options`. A ``HostFunction`` is a function as a result.
  ///
  /// The session keeps the closure; one that uses the session should capture it `unowned`.
  ///
  /// ```swift
  /// session.function("next_batch") { (index: Int) throws -> (Tensor, Tensor) in try source.batch(index) }
  /// ```
  public func function<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, options: [String] = [], _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) {
    assign(name, HostFunction(name, options: options, body))
  }

  /// Makes a table of Swift functions and values known to `require`.
  public func module(_ name: String, _ fields: [String: any LuaConvertible]) throws {
    try state.register(module: name, .record(try converting(name) { try fields.mapValues { try $0.luaValue } }))
  }

  /// A function value, for tables and for ``module(_:_:)``: as ``HostFunction``.
  public func makeFunction<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) -> LuaValue {
    HostFunction(name, body).luaValue
  }
}
