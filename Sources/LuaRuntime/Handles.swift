// Swift objects in scripts.
import CLuaShim
import Synchronization

/// A class of Swift objects that scripts can hold.
///
/// Kinds are made once per process, as global constants; ``State/define(_:inheriting:_:)`` gives one its members in
/// a state. Handles of a kind that the state does not define work, and have no members.
public struct HandleKind<Object: AnyObject>: Sendable {
  /// Distinguishes kinds in the process; greater than 1.
  public let id: UInt32
  /// What scripts see as the type in messages, `__name`.
  public let name: String
  /// Whether an object is the same Lua value each time that it is returned, as long as Lua refers to that value: scripts
  /// can then use it as a key of tables. Others get a new handle each time, equal (`==`) but another key, which is faster.
  public let isUnique: Bool

  /// A new kind at every call, also under a name that another has; it is never let go of.
  public init(_ name: String, unique: Bool = false) {
    self.name = name
    isUnique = unique
    id = kindNames.withLock {
      $0.append(name)
      return UInt32($0.count - 1)
    }
  }
}

/// The names of all kinds by identifier; 0 means none, 1 the contexts of native functions.
private let kindNames = Mutex<[String]>(["none", "native function"])

func kindName(_ id: UInt32) -> String? {
  kindNames.withLock { Int(id) < $0.count ? $0[Int(id)] : nil }
}

/// What scripts see of a kind.
public struct HandleMembers {
  /// `x:name(…)`, and `x.name` as a value. The receiver is argument 1; check it, since `x.name()` omits it.
  public var methods: [String: NativeFunction] = [:]
  /// More methods, written in Lua.
  public var scripted: [String: FunctionReference] = [:]
  /// `x.name`: arguments are the object and the key.
  public var getters: [String: NativeFunction] = [:]
  /// `x.name = v`: arguments are the object, the key and the value.
  public var setters: [String: NativeFunction] = [:]
  /// `__add`, `__call`, `__tostring` …. `__eq` defaults to identity of the object; `__gc` is ignored, since
  /// handles need no finalizer; `__index` and `__newindex` given here replace all of the above.
  public var metamethods: [String: NativeFunction] = [:]
  /// Answers `x[key]` for every other key; without it the result is nil.
  public var reading: NativeFunction?
  /// Answers `x[key] = v` for every other key; without it the assignment raises.
  public var writing: NativeFunction?

  /// No members.
  public init() {}
}

extension State {
  /// Says what scripts see of a kind. Members of `parent`, defined before, are taken over unless given here,
  /// and handles of this kind pass where one of the parent is asked for, so its class must be the parent's
  /// or a subclass. Defining a kind again affects handles made afterwards.
  public func define<Object, Parent>(
    _ kind: HandleKind<Object>, inheriting parent: HandleKind<Parent>, _ members: HandleMembers
  ) throws {
    try define(kind.id, kind.name, parent: parent.id, members)
  }

  /// Says what scripts see of a kind.
  public func define<Object>(_ kind: HandleKind<Object>, _ members: HandleMembers) throws {
    try define(kind.id, kind.name, parent: 0, members)
  }

  private func define(_ id: UInt32, _ name: String, parent: UInt32, _ members: HandleMembers) throws {
    try withLua { lua in
      let mark = pointer.pointee.out_top
      LuaRuntime.write(name, to: pointer)
      let scripted = members.scripted.filter { members.methods[$0.key] == nil }
      ml_out_record(pointer, Int64(members.methods.count + scripted.count))
      for (name, function) in members.methods {
        LuaRuntime.write(name, to: pointer)
        ml_out_function(pointer, Unmanaged.passRetained(function).toOpaque(), nil)
      }
      for (name, function) in scripted {
        LuaRuntime.write(name, to: pointer)
        ml_out_reference(pointer, function.reference.identifier)
      }
      writeRecord(members.getters, as: ml_out_context)
      writeRecord(members.setters, as: ml_out_context)
      writeRecord(members.metamethods, as: ml_out_function)
      for fallback in [members.reading, members.writing] {
        if let fallback {
          fieldFunctions.append(fallback)
          ml_out_context(pointer, Unmanaged.passRetained(fallback).toOpaque(), nil)
        } else {
          ml_out_nil(pointer)
        }
      }
      try check(ml_define_kind(pointer, lua, id, parent, mark), lua)
    }
  }

  private func writeRecord(
    _ functions: [String: NativeFunction],
    as out: (UnsafeMutablePointer<ml_state>?, UnsafeMutableRawPointer?, ml_callback?) -> Void
  ) {
    ml_out_record(pointer, Int64(functions.count))
    for (name, function) in functions {
      fieldFunctions.append(function)
      LuaRuntime.write(name, to: pointer)
      out(pointer, Unmanaged.passRetained(function).toOpaque(), nil)
    }
  }
}
