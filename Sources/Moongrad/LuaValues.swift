// Any number of values: what a function has for its last arguments, or returns.

import LuaRuntime

/// The arguments of a function from some position on, or any number of results.
///
/// ```swift
/// session.function("log") { (values: LuaValues) in logger.info(values.text(separator: " ")) }
/// session.function("apply") { (f: LuaFunction, arguments: LuaValues) -> LuaValues in try f.call(arguments) }
/// ```
///
/// As a parameter it must be the last one. It counts from 0, as Swift's lists do; messages count the arguments from 1, as scripts do.
public struct LuaValues: RandomAccessCollection {
  /// The values as they are.
  public let values: [LuaValue]
  /// Arguments before these.
  private let before: Int
  private weak var session: Session?

  /// Values to return.
  public init(_ values: [any LuaConvertible]) throws {
    self.values = try values.map { try $0.luaValue }
    before = 0
  }

  init(_ values: [LuaValue], after before: Int, _ session: Session) {
    (self.values, self.before, self.session) = (values, before, session)
  }

  /// 0.
  public var startIndex: Int { 0 }
  /// How many there are.
  public var endIndex: Int { values.count }
  /// The value at a position from 0, as it is; stops the program where there is none, see ``value(_:as:)``.
  public subscript(position: Int) -> LuaValue { values[position] }

  /// A value as a type; one that is missing is nil.
  public func value<T: LuaConvertible>(_ position: Int, as type: T.Type = T.self) throws -> T {
    let session = try living()
    return try session.decode(indices.contains(position) ? values[position] : .nil, root: "argument \(before + position + 1)")
  }

  /// All of them as a type.
  public func values<T: LuaConvertible>(as type: T.Type = T.self) throws -> [T] { try indices.map { try value($0) } }

  /// What `print` would write of them. Throws what their metamethods raise.
  public func text(separator: String = "\t") throws -> String {
    let session = try living()
    return try session.entering { try values.map { try session.state.text(of: $0) }.joined(separator: separator) }
  }

  private func living() throws -> Session {
    guard let session else { throw LuaError(.unavailable, "the session of these values is closed") }
    return session
  }
}

extension LuaValues: LuaConvertible {
  /// `any values`.
  public static var luaName: String { "any values" }

  /// A value alone; the arguments of a function come another way.
  public static func decode(_ source: LuaSource) throws -> LuaValues { LuaValues([try source.slot.value()], after: 0, source.session) }

  /// A list. As the result of a function, its values are that many results.
  public var luaValue: LuaValue { .list(values) }
}
