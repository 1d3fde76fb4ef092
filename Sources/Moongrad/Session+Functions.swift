// Swift functions that scripts call.

import LuaRuntime
import Tensors

extension Session {
  /// Makes a Swift function a global of scripts.
  ///
  /// Arguments are converted by type, and a wrong one is an error that names function, argument, what was expected
  /// and what came. Arguments beyond the parameters are ignored, and missing ones are nil, as in Lua. Several results
  /// are a tuple. Errors that it throws are Lua errors, which `pcall` catches and which come back to the host as
  /// `LuaError.cause`.
  ///
  /// The session keeps the closure; one that uses the session should capture it `unowned`.
  ///
  /// ```swift
  /// session.function("next_batch") { (index: Int) throws -> (Tensor, Tensor) in try source.batch(index) }
  /// ```
  public func function<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) {
    assign(name, LuaValue.native(native(name, body)))
  }

  /// Makes a table of Swift functions and values known to `require`.
  public func module(_ name: String, _ fields: [String: any LuaConvertible]) throws {
    try state.register(module: name, .record(try converting(name) { try fields.mapValues { try $0.luaValue } }))
  }

  /// A function value, for tables and for ``module(_:_:)``.
  public func makeFunction<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) -> LuaValue {
    .native(native(name, body))
  }

  private func native<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) -> NativeFunction {
    NativeFunction(name) { [weak self] call in
      guard let self else { throw LuaError(.unavailable, "\(name): the session is closed") }
      // The script's modes are those of the Swift function: inside no_grad, Swift records nothing either.
      GradMode.bits = UInt32(truncatingIfNeeded: call.word)
      var position = 0
      let arguments = (repeat try argument((each Argument).self, call, &position, name, self))
      let results = try body(repeat each arguments)
      repeat try add(each results, to: &call)
    }
  }
}

private func argument<T: LuaConvertible>(
  _ type: T.Type, _ call: borrowing Call, _ position: inout Int, _ name: String, _ session: Session
) throws -> T {
  position += 1
  do {
    return try T.decode(LuaSource(call[position], session))
  } catch let failure as ConversionFailure {
    let place = failure.path.isEmpty ? "argument \(position)" : "argument \(position), at \(failure.pathText)"
    throw LuaError(.conversion, "\(name): \(place): \(failure.reason)")
  }
}

private func add<T: LuaConvertible>(_ result: T, to call: inout Call) throws {
  call.returns(try result.luaValue)
  if let tensor = result as? Tensor { call.pace(bytes: tensor.storage.byteCount &+ 256) }
}
