// Functions of scripts, called from Swift.

import LuaRuntime

/// A Lua function. It stays alive as long as this value, and works as long as its session.
///
/// ```swift
/// let step: LuaFunction = try session.value("step")
/// let loss: Double = try step(batch, 0.1)
/// let (mean, deviation): (Double, Double) = try step(batch)
/// try step(batch, limits: RunLimits(time: .milliseconds(50)))
/// ```
///
/// `limits` hold for one call; those of the session's configuration hold for every one.
public struct LuaFunction {
  let reference: FunctionReference
  weak var session: Session?

  /// Calls it for what it does.
  public func callAsFunction<each Argument: LuaConvertible>(
    _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) throws {
    _ = try results(repeat each arguments, limits: limits)
  }

  /// Calls it for its first result.
  public func callAsFunction<each Argument: LuaConvertible, Result: LuaConvertible>(
    _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) throws -> Result {
    let session = try living()
    return try session.decode(try results(repeat each arguments, limits: limits), root: "result")
  }

  /// Calls it for several results.
  public func callAsFunction<
    each Argument: LuaConvertible, First: LuaConvertible, Second: LuaConvertible, each Result: LuaConvertible
  >(
    _ arguments: repeat each Argument, limits: RunLimits = RunLimits()
  ) throws -> (First, Second, repeat each Result) {
    let session = try living()
    return try session.decodeSeveral(try results(repeat each arguments, limits: limits))
  }

  /// Calls it with a list of arguments.
  @discardableResult
  public func call(_ arguments: [any LuaConvertible], limits: RunLimits = RunLimits()) throws -> [LuaValue] {
    let session = try living()
    let values = try arguments.enumerated().map { place, argument in
      try session.converting("argument \(place + 1)") { try argument.luaValue }
    }
    return try session.entering(limits) { try reference.call(values) }
  }

  /// Calls it with the arguments of another function.
  @discardableResult
  public func call(_ arguments: LuaValues) throws -> LuaValues {
    let session = try living()
    return LuaValues(try session.entering { try reference.call(arguments.values) }, after: 0, session)
  }

  private func results<each Argument: LuaConvertible>(_ arguments: repeat each Argument, limits: RunLimits) throws -> [LuaValue] {
    let session = try living()
    let values = try session.values(of: repeat each arguments)
    return try session.entering(limits) { try reference.call(values) }
  }

  func living() throws -> Session {
    guard let session else { throw LuaError(.unavailable, "the session of this function is closed") }
    return session
  }
}

extension Session {
  /// The arguments of a call; a failure says which one.
  func values<each Argument: LuaConvertible>(of arguments: repeat each Argument) throws -> [LuaValue] {
    var values: [LuaValue] = []
    repeat values.append(try converting("argument \(values.count + 1)") { try (each arguments).luaValue })
    return values
  }
}

extension LuaFunction: LuaConvertible {
  /// `function`.
  public static var luaName: String { "function" }

  /// The function. Throws for other values, those that can be called by a metamethod too.
  public static func decode(_ source: LuaSource) throws -> LuaFunction {
    guard case .function(let reference) = try source.slot.value() else { throw source.mismatch("function") }
    return LuaFunction(reference: reference, session: source.session)
  }

  /// The function itself.
  public var luaValue: LuaValue { .function(reference) }
}
