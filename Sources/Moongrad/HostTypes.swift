// The host's types that a session knows.

import LuaRuntime
import Synchronization

extension Session {
  /// Makes a Swift type known to scripts, which from then on hold its values; see ``HostObject``.
  ///
  /// `body` says what they see: methods, properties, metamethods, and functions of the type itself, which become a global under
  /// the type's `luaName`. Members of a superclass that is registered before are there too. Errors name the member, the argument,
  /// what was expected and what came; an unknown field is an error that names the nearest known one.
  ///
  /// The session keeps the closures: one that uses the session should capture it `unowned`.
  ///
  /// Throws when the type is registered already, when a member is given twice, and when memory is short.
  public func register<T: HostObject>(_ type: T.Type, _ body: (HostType<T>) throws -> Void) throws {
    let parent = try hostTypes.parent(for: type)
    let description = HostType<T>(inheriting: parent?.type)
    try body(description)
    try description.check()
    try context.run { [state] in
      let kinds = HostTypes.kinds(of: type)
      let members = description.members
      if let parent { try state.define(kinds.values, inheriting: parent.kind, members) } else { try state.define(kinds.values, members) }
      if description.hasStatics {
        try state.define(kinds.statics, description.staticMembers)
        try state.setGlobal(T.luaName, .object(HostStatics(), kinds.statics))
      }
      hostTypes.add(HostTypes.Entry(kind: kinds.values, type: description, accepts: { $0 is T.Type }), for: type)
    }
  }
}

/// Those types, and which one a value is of.
final class HostTypes {
  struct Entry {
    let kind: HandleKind<AnyObject>
    let type: any AnyHostType
    /// Whether another type is this one or a subclass.
    let accepts: (Any.Type) -> Bool
  }

  /// Superclasses before subclasses.
  private var entries: [Entry] = []
  private var registered: Set<ObjectIdentifier> = []
  /// What was found before; nil for types that are none.
  private var known: [ObjectIdentifier: HandleKind<AnyObject>?] = [:]

  func add(_ entry: Entry, for type: Any.Type) {
    entries.append(entry)
    registered.insert(ObjectIdentifier(type))
    known = [:]
  }

  /// The kind of handles for a type's values: its own, or that of the nearest superclass.
  func kind(of type: Any.Type) -> HandleKind<AnyObject>? {
    let identifier = ObjectIdentifier(type)
    if let found = known[identifier] { return found }
    let found = entries.last { $0.accepts(type) }?.kind
    known[identifier] = .some(found)
    return found
  }

  /// The nearest superclass that is registered. Throws when the type is, or a subclass: what that inherits is settled.
  func parent<T: HostObject>(for type: T.Type) throws -> Entry? {
    guard !registered.contains(ObjectIdentifier(type)) else { throw LuaError("the type \(type) is registered already") }
    if let subclass = entries.first(where: { $0.type.isSubclass(of: type) }) {
      throw LuaError("the type \(type) must be registered before its subclass \(subclass.type.name)")
    }
    return entries.last { $0.accepts(type) }
  }

  static func unregistered(_ type: Any.Type) -> LuaError {
    LuaError(.conversion, "the type \(type) is not registered with this session")
  }

  // MARK: Kinds

  /// A type's kinds in the process: of its values, and of the type as a value.
  struct Kinds: Sendable {
    let values: HandleKind<AnyObject>
    let statics: HandleKind<HostStatics>
  }

  private static let kinds = Mutex<[ObjectIdentifier: Kinds]>([:])

  static func kinds<T: HostObject>(of type: T.Type) -> Kinds {
    let name = T.luaName
    return kinds.withLock { kinds in
      if let found = kinds[ObjectIdentifier(type)] { return found }
      let made = Kinds(
        values: HandleKind<AnyObject>(name, unique: type is AnyObject.Type), statics: HandleKind<HostStatics>("type \(name)", unique: true))
      kinds[ObjectIdentifier(type)] = made
      return made
    }
  }
}

/// A type as a value of Lua: `Counter` in `Counter.new()`.
final class HostStatics {}
