// What scripts see of a Swift type: its members, as the host lists them.

import LuaRuntime

/// The members of a host's type, in ``Session/register(_:_:)``.
///
/// ```swift
/// try session.register(Point.self) {
///   $0.initializer { (x: Double, y: Double) in Point(x: x, y: y) }
///   $0.writableProperty("x", \.x)
///   $0.property("length") { $0.length }
///   $0.mutatingMethod("move") { (point: inout Point, dx: Double) in point.x += dx }
///   $0.metamethod(.add) { (a: Point, b: Point) in a + b }
///   $0.metamethod(.mul) { (a: Point, k: Double) in a * k }
///   $0.metamethod(.mul) { (k: Double, a: Point) in a * k }
/// }
/// ```
public final class HostType<T: HostObject> {
  var methods: [String: HostFunction] = [:]
  var getters: [String: HostFunction] = [:]
  var setters: [String: HostFunction] = [:]
  var metamethods: [Metamethod: [HostFunction.Body]] = [:]
  var functions: [String: HostFunction] = [:]
  var constants: [String: HostFunction] = [:]
  var making: HostFunction?
  /// The superclass's, if that is registered.
  let parent: (any AnyHostType)?
  private var problem: LuaError?

  init(inheriting parent: (any AnyHostType)?) { self.parent = parent }

  // MARK: Methods

  /// A method, `object:name(…)`. The first parameter is the object.
  public func method<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, options: [String] = [], _ body: @escaping (T, repeat each Argument) throws -> (repeat each Result)
  ) {
    add(name, ":", to: .methods, options, (repeat (each Argument).self)) { call, place in
      let object = try call.object(T.self, &place)
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try body(object, repeat each arguments)
      repeat try call.add(each results)
    }
  }

  /// A method that changes a struct or an enum in its box. (Of its own name, since Swift cannot tell the closures apart.)
  public func mutatingMethod<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, options: [String] = [], _ body: @escaping (inout T, repeat each Argument) throws -> (repeat each Result)
  ) {
    add(name, ":", to: .methods, options, (repeat (each Argument).self), changing(body))
  }

  /// A method of Swift's by its name: `$0.method("add", Counter.add)`.
  public func method<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, _ body: @escaping (T) -> (repeat each Argument) throws -> (repeat each Result)
  ) {
    add(name, ":", to: .methods, [], (repeat (each Argument).self)) { call, place in
      let object = try call.object(T.self, &place)
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try body(object)(repeat each arguments)
      repeat try call.add(each results)
    }
  }

  private func changing<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ body: @escaping (inout T, repeat each Argument) throws -> (repeat each Result)
  ) -> HostFunction.Body {
    { call, place in
      let holder = try call.holder(T.self, &place)
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try holder.change { try body(&$0, repeat each arguments) }
      repeat try call.add(each results)
    }
  }

  // MARK: Properties

  /// A property that scripts read, `object.name`.
  public func property<Value: LuaConvertible>(_ name: String, get: @escaping (T) throws -> Value) {
    add(name, ".", to: .getters, [], ()) { call, place in try call.add(try get(try call.object(T.self, &place))) }
  }

  /// A property that scripts read and assign to.
  public func property<Value: LuaConvertible>(
    _ name: String, get: @escaping (T) throws -> Value, set: @escaping (inout T, Value) throws -> Void
  ) {
    property(name, get: get)
    let title = "\(T.luaName).\(name)"
    setters[name] = HostFunction(title) { call, place in
      let holder = try call.holder(T.self, &place)
      place.position += 1  // past the key
      let value: Value
      do {
        value = try call.next(Value.self, &place)
      } catch let failure as ArgumentFailure {
        throw failure.failure.error(root: title)
      }
      try holder.change { try set(&$0, value) }
    }
  }

  /// A property that scripts read and do not assign to, whether Swift could set it or not; see ``writableProperty(_:_:)``.
  public func property<Value: LuaConvertible>(_ name: String, _ path: KeyPath<T, Value>) {
    property(name, get: { $0[keyPath: path] })
  }

  /// A property that scripts read and assign to. (Of its own name, so that no script can assign to what a host only meant to show: within
  /// its own file the key path of a `private(set)` property is a writable one.)
  public func writableProperty<Value: LuaConvertible>(_ name: String, _ path: WritableKeyPath<T, Value>) {
    property(name, get: { $0[keyPath: path] }, set: { $0[keyPath: path] = $1 })
  }

  // MARK: Metamethods

  /// An operator, a call, a length …. Of several of one kind that is called whose arguments fit: `a * 2` and `2 * a`.
  public func metamethod<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ metamethod: Metamethod, _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) {
    metamethods[metamethod, default: []].append { call, place in
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try body(repeat each arguments)
      repeat try call.add(each results)
    }
  }

  /// One that changes a struct or an enum in its box.
  public func mutatingMetamethod<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ metamethod: Metamethod, _ body: @escaping (inout T, repeat each Argument) throws -> (repeat each Result)
  ) {
    metamethods[metamethod, default: []].append(changing(body))
  }

  // MARK: The type itself

  /// What makes a value: `Counter.new(…)`, and `Counter(…)` for short.
  public func initializer<each Argument: LuaConvertible>(
    options: [String] = [], _ body: @escaping (repeat each Argument) throws -> T
  ) {

    let make: HostFunction.Body = { call, place in
      call.skipType(T.self, &place)
      let arguments = (repeat try call.next((each Argument).self, &place))
      try call.add(try body(repeat each arguments))
    }
    add("new", ".", to: .functions, options, (repeat (each Argument).self), make)
    making = HostFunction(T.luaName, options: options, make)
  }

  /// A function of the type: `Counter.name(…)`.
  public func function<each Argument: LuaConvertible, each Result: LuaConvertible>(
    _ name: String, options: [String] = [], _ body: @escaping (repeat each Argument) throws -> (repeat each Result)
  ) {
    add(name, ".", to: .functions, options, (repeat (each Argument).self)) { call, place in
      call.skipType(T.self, &place)
      let arguments = (repeat try call.next((each Argument).self, &place))
      let results = try body(repeat each arguments)
      repeat try call.add(each results)
    }
  }

  /// A value of the type, `Color.red`, which is asked for at each use.
  public func constant<Value: LuaConvertible>(_ name: String, _ value: @escaping @autoclosure () -> Value) {
    add(name, ".", to: .constants, [], ()) { call, _ in try call.add(value()) }
  }

  /// Lists of members. (Key paths to the properties would say the same, but crash in functions with parameter packs, Swift 6.3.)
  private enum List { case methods, getters, functions, constants }

  private func add<each Argument: LuaConvertible>(
    _ name: String, _ separator: String, to list: List, _ options: [String], _ types: (repeat (each Argument).Type),
    _ body: @escaping HostFunction.Body
  ) {
    let title = "\(T.luaName)\(separator)\(name)"
    ArgumentPlace.check(title, options, (repeat each types))
    let function = HostFunction(title, options: options, body)
    let isKnown =
      list == .functions || list == .constants
      ? functions[name] != nil || constants[name] != nil : methods[name] != nil || getters[name] != nil
    if isKnown { problem = problem ?? LuaError("the type \(T.self): '\(name)' is given twice") }
    switch list {
    case .methods: methods[name] = function
    case .getters: getters[name] = function
    case .functions: functions[name] = function
    case .constants: constants[name] = function
    }
  }

  /// Throws what was wrong with the list.
  func check() throws { if let problem { throw problem } }
}

/// What Lua does with values beyond calling their methods; the names are Lua's, without underscores.
///
/// `index` and `newindex` answer for keys that are no members. Objects of classes are equal when they are the same one, structs and
/// enums when they are `Equatable` and Swift says so; `eq` replaces that. A type that is `CustomStringConvertible` has its
/// description for `tostring`.
public enum Metamethod: String, Sendable {
  /// `a + b`.
  case add
  /// `a - b`.
  case sub
  /// `a * b`.
  case mul
  /// `a / b`.
  case div
  /// `a % b`.
  case mod
  /// `a ^ b`.
  case pow
  /// `-a`.
  case unm
  /// `a // b`.
  case idiv
  /// `a & b`.
  case band
  /// `a | b`.
  case bor
  /// `a ~ b`.
  case bxor
  /// `a << b`.
  case shl
  /// `a >> b`.
  case shr
  /// `~a`.
  case bnot
  /// `a .. b`.
  case concat
  /// `#a`.
  case len
  /// `a == b`.
  case eq
  /// `a < b`.
  case lt
  /// `a <= b`.
  case le
  /// `a(…)`.
  case call
  /// `tostring(a)`.
  case tostring
  /// `a.key`, of keys that are no members.
  case index
  /// `a.key = value`, of keys that are no members.
  case newindex
  /// `pairs(a)`.
  case pairs
  /// The end of `local a <close>`.
  case close
}
