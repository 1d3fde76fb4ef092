// Swift types whose values scripts hold, as opposed to those that are taken apart into tables.

import LuaRuntime

/// A type whose values scripts hold themselves, with the members that ``Session/register(_:_:)`` gives them.
///
/// ```swift
/// final class Counter: HostObject {
///   var count = 0
///   func add(_ n: Int) { count += n }
/// }
///
/// try session.register(Counter.self) {
///   $0.initializer { Counter() }
///   $0.method("add", Counter.add)
///   $0.writableProperty("count", \.count)
/// }
/// try session.run("counter = Counter()  counter:add(3)  print(counter.count)")
/// let counter: Counter = try session.value("counter")
/// ```
///
/// The protocol asks for nothing. It says at compile time that values cross, so that they do so wherever a ``LuaConvertible`` does:
/// alone, in lists, as options, as arguments and results.
///
/// An object of a class is itself on both sides: as long as Lua refers to it, it is one value there, equal to itself and good as a
/// key of tables; and what comes back to Swift is the same object. A value of a struct or an enum is copied into a box in Lua, and
/// out of it. Scripts share the box, and its mutating methods change what is in it.
///
/// Lua keeps its objects alive, and lets go of them when it collects its garbage or the session closes. Where an object keeps a
/// ``LuaFunction`` or a ``LuaTable`` that leads back to itself, neither side sees that the ring is garbage: it stays until the
/// session closes, or until one of them lets go. Its `deinit` can run while Lua collects, when no script can be called.
public protocol HostObject: LuaConvertible {}

extension HostObject {
  /// The object itself, or a copy of what is in the box.
  public static func decode(_ source: LuaSource) throws -> Self {
    guard let kind = source.session.hostTypes.kind(of: Self.self) else { throw HostTypes.unregistered(Self.self) }
    guard let object = source.slot.object(kind) else { throw source.mismatch(luaName) }
    if let box = object as? HostBox<Self> { return try box.read() }
    // A subclass that is not registered goes by its superclass.
    guard let value = object as? Self else { throw source.mismatch(luaName) }
    return value
  }

  /// Lua's value for the object, or a new box. An error is raised in a session that does not know the type.
  public var luaValue: LuaValue {
    if Self.self is AnyObject.Type {
      let object = self as AnyObject
      return .object(NewHandle(object, ofType: type(of: object)))
    }
    return .object(NewHandle(HostBox(self), ofType: Self.self))
  }
}

/// Where a value stands that is no object.
final class HostBox<Value> {
  private var value: Value?

  init(_ value: Value) { self.value = value }

  func read() throws -> Value {
    guard let value else { throw busy }
    return value
  }

  /// Moves the value out meanwhile, so that it is not copied when it changes; a script that is called then finds nothing.
  func withValue<Result>(_ body: (inout Value) throws -> Result) throws -> Result {
    guard var moved = value.take() else { throw busy }
    defer { value = moved }
    return try body(&moved)
  }

  private var busy: LuaError { LuaError("this \(Value.self) is being changed by a method that has not returned yet") }
}
