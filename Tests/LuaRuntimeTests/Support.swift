// What the tests of this target share.
import Testing

@testable import LuaRuntime

/// An object whose instances are counted by a counter of its own test.
final class Counted {
  let counter: Counter
  var value: Double
  init(_ counter: Counter, _ value: Double = 0) {
    self.counter = counter
    self.value = value
    counter.live += 1
    counter.made += 1
  }
  deinit {
    counter.live -= 1
    counter.released += 1
  }
}

final class Counter {
  var live = 0, made = 0, released = 0
}

let countedKind = HandleKind<Counted>("Counted")
let otherKind = HandleKind<Counter>("Counter")
let uniqueKind = HandleKind<Counted>("Unique", unique: true)

struct Failure: Error, Equatable, CustomStringConvertible {
  var code: Int
  var description: String { "failure \(code)" }
}

/// A state with `new(v)` and the kind's members: `value` (property), `get`, `self_`, `+`; and `unique(v)`, whose handles
/// are unique, with `again()`, which returns the object, and `several()`, a list of a new one and the object.
func makeState(_ counter: Counter, _ configuration: State.Configuration = .init()) throws -> State {
  let state = try State(configuration)
  try populate(state, counter)
  return state
}

func populate(_ state: State, _ counter: Counter) throws {
  var members = HandleMembers()
  members.methods["get"] = NativeFunction("get") { call in
    guard let object = call.object(1, countedKind) else { throw LuaError("get: expected a Counted") }
    call.returns(object.value)
  }
  members.methods["itself"] = NativeFunction("itself") { call in call.returnsArgument(1) }
  members.getters["value"] = NativeFunction("value") { call in
    call.returns(call.object(1, countedKind)!.value)
  }
  members.setters["value"] = NativeFunction("value") { call in
    call.object(1, countedKind)!.value = call.number(3) ?? 0
  }
  members.metamethods["__add"] = NativeFunction("__add") { call in
    guard let a = call.object(1, countedKind), let b = call.object(2, countedKind) else {
      throw LuaError("add: expected two Counted")
    }
    call.returns(Counted(counter, a.value + b.value), countedKind)
  }
  members.reading = NativeFunction("reading") { call in
    throw LuaError("no field '\(call.string(2) ?? "?")'")
  }
  try state.define(countedKind, members)
  try state.setGlobal(
    "new",
    .native(
      NativeFunction("new") { call in
        call.returns(Counted(counter, call.number(1) ?? 0), countedKind)
      }))
  members = HandleMembers()
  members.methods["again"] = NativeFunction("again") { call in call.returns(call.object(1, uniqueKind)!, uniqueKind) }
  members.methods["several"] = NativeFunction("several") { call in
    call.returnsList(2)
    call.returns(Counted(counter), uniqueKind)
    call.returns(call.object(1, uniqueKind)!, uniqueKind)
  }
  try state.define(uniqueKind, inheriting: countedKind, members)
  try state.setGlobal(
    "unique",
    .native(
      NativeFunction("unique") { call in
        call.returns(Counted(counter, call.number(1) ?? 0), uniqueKind)
      }))
  try state.setGlobal(
    "fail",
    .native(NativeFunction("fail") { call in throw Failure(code: call.integer(1) ?? 0) }))
}

extension State {
  /// Runs a chunk that returns one string.
  func text(_ source: String) throws -> String? {
    if case .string(let text)? = try run(source: source, chunkName: "@test.lua").first { return text }
    return nil
  }
  /// The error of a chunk that must fail.
  func failure(_ source: String) throws -> LuaError {
    try #require(throws: LuaError.self) { try run(source: source, chunkName: "@test.lua") }
  }
}
