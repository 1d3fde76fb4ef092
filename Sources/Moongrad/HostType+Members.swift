// From the list of members to what a kind of handles is defined by, and what is said of fields that are not in it.

import LuaRuntime
import Tensors

/// A host's type, of whatever Swift type.
protocol AnyHostType: AnyObject {
  var name: String { get }
  /// Methods and properties, the superclass's too.
  var names: Set<String> { get }
  var properties: Set<String> { get }
  /// What answers for keys that are no members.
  func answers(_ metamethod: Metamethod) -> [HostFunction.Body]
  func isSubclass<Other>(of type: Other.Type) -> Bool
}

extension HostType: AnyHostType {
  var name: String { T.luaName }
  var names: Set<String> { Set(methods.keys).union(properties).union(parent?.names ?? []) }
  var properties: Set<String> { Set(getters.keys).union(parent?.properties ?? []) }

  func answers(_ metamethod: Metamethod) -> [HostFunction.Body] {
    (metamethods[metamethod] ?? []) + (parent?.answers(metamethod) ?? [])
  }

  func isSubclass<Other>(of type: Other.Type) -> Bool { T.self is Other.Type }

  // MARK: Values

  var members: HandleMembers {
    var members = HandleMembers()
    members.methods = methods.mapValues(\.native)
    members.getters = getters.mapValues(\.native)
    members.setters = setters.mapValues(\.native)
    var answers = metamethods.filter { $0.key != .index && $0.key != .newindex }
    if let equal = answers[.eq] ?? equality { answers[.eq] = [equal].flatMap { $0 } + [{ call, _ in call.returns(false) }] }
    if answers[.tostring] == nil, let description { answers[.tostring] = description }
    for (metamethod, bodies) in answers {
      members.metamethods["__\(metamethod)"] = HostFunction("\(name).__\(metamethod)", bodies).native
    }
    members.reading = fallback(.index, unknownField)
    members.writing = fallback(.newindex, unassignable)
    return members
  }

  /// Values that Swift can compare are equal when it says so.
  private var equality: [HostFunction.Body]? {
    guard !(T.self is AnyObject.Type), T.self is any Equatable.Type else { return nil }
    func equal<E: Equatable>(_ a: E, _ b: Any) -> Bool { a == b as? E }
    return [
      { call, place in
        let (a, b) = (try call.next(T.self, &place), try call.next(T.self, &place))
        call.returns((a as? any Equatable).map { equal($0, b) } ?? false)
      }
    ]
  }

  private var description: [HostFunction.Body]? {
    guard T.self is any CustomStringConvertible.Type else { return nil }
    return [{ call, place in call.returns("\(try call.next(T.self, &place))") }]
  }

  /// What the metamethods answer; where they take no such key, or a name that they know nothing of, an error.
  private func fallback(_ metamethod: Metamethod, _ error: @escaping (Slot) -> LuaError) -> NativeFunction {
    let others: HostFunction.Body = { call, _ in throw error(call[2]) }
    return HostFunction("\(name).__\(metamethod)", answers(metamethod) + [others]).native
  }

  private func unknownField(_ key: Slot) -> LuaError {
    guard let field = key.string else { return LuaError("\(name) has no field [\(key.brief)]") }
    return LuaError("\(name) has no field or method '\(field)'\(hint(field, names))")
  }

  private func unassignable(_ key: Slot) -> LuaError {
    guard let field = key.string else { return LuaError("\(name): cannot assign to [\(key.brief)]") }
    if properties.contains(field) { return LuaError("\(name).\(field) is read-only") }
    if names.contains(field) { return LuaError("\(name):\(field) is a method, which cannot be assigned to") }
    return LuaError("\(name) has no field '\(field)'\(hint(field, properties))")
  }

  private func hint(_ field: String, _ known: Set<String>) -> String {
    nearest(field, known.sorted()).map { "; did you mean '\($0)'?" } ?? ""
  }

  // MARK: The type

  var hasStatics: Bool { !functions.isEmpty || !constants.isEmpty }

  /// What scripts see of the type itself.
  var staticMembers: HandleMembers {
    var members = HandleMembers()
    members.methods = functions.mapValues(\.native)
    members.getters = constants.mapValues(\.native)
    let (name, known) = (name, Set(functions.keys).union(constants.keys))
    if let making { members.metamethods["__call"] = making.native }
    members.metamethods["__tostring"] = NativeFunction("__tostring") { call in call.returns("type \(name)") }
    members.reading = NativeFunction("__index") { [hint] call in
      guard let field = call.string(2) else { throw LuaError("the type \(name) has no field [\(call[2].brief)]") }
      throw LuaError("the type \(name) has no field '\(field)'\(hint(field, known))")
    }
    members.writing = NativeFunction("__newindex") { _ in throw LuaError("the type \(name) cannot be assigned to") }
    return members
  }
}

extension Slot {
  /// A key in a message.
  fileprivate var brief: String {
    if let number { return isInteger ? String(integer ?? 0) : "\(number)" }
    return typeName
  }
}

// MARK: Reading objects

/// Where a method finds the value that it changes.
enum HostHolder<T: HostObject> {
  case box(HostBox<T>)
  case object(T)

  func change<Result>(_ body: (inout T) throws -> Result) throws -> Result {
    switch self {
    case .box(let box): return try box.withValue(body)
    case .object(var object): return try body(&object)
    }
  }
}

extension Call {
  /// The object that a method was called on, which its messages do not count.
  borrowing func object<T: HostObject>(_ type: T.Type, _ place: inout ArgumentPlace) throws -> T {
    place.uncounted = 1
    return try next(type, &place)
  }

  /// The same, for one that changes.
  borrowing func holder<T: HostObject>(_ type: T.Type, _ place: inout ArgumentPlace) throws -> HostHolder<T> {
    if let kind = place.session.hostTypes.kind(of: type), let box = self[place.position + 1].object(kind) as? HostBox<T> {
      place.position += 1
      place.uncounted = 1
      return .box(box)
    }
    return .object(try object(type, &place))
  }

  /// `Counter:new()` is as good as `Counter.new()`, and `Counter()` passes the type too.
  borrowing func skipType<T: HostObject>(_ type: T.Type, _ place: inout ArgumentPlace) {
    guard self[1].kindIdentifier == HostTypes.kinds(of: type).statics.id else { return }
    place.position = 1
    place.uncounted = 1
  }
}
