// Swift functions as Lua values: how their arguments are read and their results returned.

import LuaRuntime
import Tensors

/// A Swift function as a value of Lua: in tables, in modules, and as the result of other functions.
///
/// ```swift
/// session.function("adder") { (n: Int) in HostFunction { (x: Int) in x + n } }   // adder(2)(3) is 5
/// ```
///
/// It works in the session that it comes to; what is said of ``Session/function(_:options:_:)`` holds for it.
public struct HostFunction {
  let native: NativeFunction

  /// A function that messages call `name`, with the names of its ``LuaOptions`` if it has any.
  public init<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String = "function", options: [String] = [],
    _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) {
    ArgumentPlace.check(name, options, (repeat (each Argument).self))
    self.init(name, options: options) { call, place in
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try body(repeat each arguments)
      repeat try call.add(each results)
    }
  }

  /// What it does with a call; see ``Body``.
  init(_ name: String, options: [String] = [], _ body: @escaping Body) { self.init(name, options: options, [body]) }

  /// Of several that whose arguments are those of the call.
  init(_ name: String, options: [String] = [], _ bodies: [Body]) {
    native = NativeFunction(name) { call in
      guard let session = call.state.session else { throw LuaError(.unavailable, "\(name): the session is closed") }
      // The script's modes are those of the Swift function: inside no_grad, Swift records nothing either.
      GradMode.bits = UInt32(truncatingIfNeeded: call.word)
      var failure: ArgumentFailure?
      for body in bodies {
        var place = ArgumentPlace(session: session, function: name, options: options)
        do {
          return try body(&call, &place)
        } catch let next as ArgumentFailure where next.position > (failure?.position ?? .min) {
          failure = next
        } catch is ArgumentFailure {}
      }
      if let failure { throw failure.error(function: name) }
    }
  }

  /// Reads the arguments, then calls, then returns. An ``ArgumentFailure`` says that the arguments are not this function's.
  typealias Body = (inout Call, inout ArgumentPlace) throws -> Void
}

extension HostFunction: LuaConvertible {
  /// `function`.
  public static var luaName: String { "function" }

  /// A function of Lua is a ``LuaFunction``: none can be had as the Swift function that it was.
  public static func decode(_ source: LuaSource) throws -> HostFunction {
    throw source.mismatch("nothing: functions are read as LuaFunction")
  }

  /// A new function at every use.
  public var luaValue: LuaValue { .native(native) }
}

/// How far a function has read its arguments.
struct ArgumentPlace {
  let session: Session
  let function: String
  let options: [String]
  /// The last one that was read.
  var position = 0
  /// Those in front that messages do not count: the object of a method.
  var uncounted = 0

  /// Stops a host that declares what no call can give.
  static func check<each Argument: LuaConvertible>(_ function: String, _ options: [String], _ types: (repeat (each Argument).Type)) {
    var all: [any LuaConvertible.Type] = []
    repeat all.append(each types)
    precondition(!all.dropLast().contains { $0 == LuaValues.self }, "\(function): LuaValues must be the last parameter")
    precondition(
      all.contains { $0 == LuaOptions.self } == !options.isEmpty,
      "\(function): LuaOptions and the names of the options (options: […]) belong together")
  }
}

/// An argument that is not what was expected.
struct ArgumentFailure: Error {
  /// As messages count, or 0 for the object of a method.
  let position: Int
  let failure: ConversionFailure

  func error(function: String) -> LuaError {
    if position == 0 {
      return LuaError(.conversion, "\(function): \(failure.expecting { "\($0) as self" }.reason); methods are called with ':'")
    }
    let place = failure.path.isEmpty ? "argument \(position)" : "argument \(position), at \(failure.pathText)"
    return LuaError(.conversion, "\(function): \(place): \(failure.reason)")
  }
}

extension Call {
  /// The next argument; one that is missing is nil.
  borrowing func next<T: LuaConvertible>(_ type: T.Type, _ place: inout ArgumentPlace) throws -> T {
    place.position += 1
    if T.self == LuaValues.self { return try rest(&place) as! T }
    do {
      if T.self == LuaOptions.self {
        return try LuaOptions(self[place.position], of: place.function, known: place.options, place.session) as! T
      }
      return try T.decode(LuaSource(self[place.position], place.session))
    } catch let failure as ConversionFailure {
      throw ArgumentFailure(position: place.position - place.uncounted, failure: failure)
    }
  }

  private borrowing func rest(_ place: inout ArgumentPlace) throws -> LuaValues {
    let first = place.position
    var values: [LuaValue] = []
    while place.position <= count {
      values.append(try value(place.position))
      place.position += 1
    }
    return LuaValues(values, after: first - 1 - place.uncounted, place.session)
  }

  /// One more result.
  mutating func add<T: LuaConvertible>(_ result: T) throws {
    if T.self == LuaValues.self {
      for value in (result as! LuaValues).values { returns(value) }
      return
    }
    returns(try result.luaValue)
    if let tensor = result as? Tensor { pace(bytes: tensor.storage.byteCount &+ 256) }
  }
}

extension State {
  /// The session that opened the state.
  var session: Session? { owner as? Session }
}
