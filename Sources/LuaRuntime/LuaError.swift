// Errors, in both directions.
import CLuaShim

/// What went wrong in a script, or on the way to one.
///
/// `"\(error)"` is the message with its place, for people; `String(reflecting: error)` has the traceback too.
///
/// `value` may refer to a Lua table; it belongs to the state's thread.
public struct LuaError: Error, @unchecked Sendable {
  /// What sort of thing went wrong.
  public enum Kind: Sendable {
    /// Something that a script did, or that was raised in it.
    case runtime
    /// The text of a chunk, which was not run.
    case syntax
    /// There was not so much memory, or the limit does not allow it.
    case memory
    /// Somebody interrupted the script.
    case interrupted
    /// It took longer than ``RunLimits`` allow.
    case timeLimit
    /// It ran more instructions than ``RunLimits`` allow.
    case instructionLimit
    /// A file could not be read.
    case file
    /// The state is closed.
    case unavailable
    /// A value does not fit the type asked for.
    case conversion
    /// Nothing did: the script has ended itself by `os.exit`, see ``LuaError/exitStatus``.
    case exit
  }
  /// A line of a chunk, as in `train.lua:12:`.
  public struct Position: Hashable, Sendable {
    /// The chunk's name, and the line counted from 1.
    public var chunk: String
    /// The line, counted from 1.
    public var line: Int
  }

  /// What sort of thing went wrong.
  public var kind: Kind
  /// The error value as text, with its position in front when it has one.
  public var message: String
  /// The Lua call stack at the point of the error.
  public var traceback: String?
  /// The Swift error behind this one, when a native function threw it.
  public var cause: (any Error)?
  /// The Lua error value, when it is not a string of text.
  public var value: Value?
  /// What the script gave `os.exit`, where the kind is `exit`: 0 for success, as for processes.
  public var exitStatus: Int?
  /// Whether it came out of Lua, and is raised again as it is.
  var isCaptured = false

  /// An error of kind `runtime`. Thrown by a native function, it gets the caller's position in front.
  public init(_ message: String) { self.init(.runtime, message) }

  /// The same of any kind.
  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  /// Where it happened: the position that opens the message.
  public var position: Position? {
    guard let (position, _) = Position.leading(message) else { return nil }
    return position
  }

  /// The message without its position.
  public var plainMessage: String {
    Position.leading(message).map { String($0.rest) } ?? message
  }

  static let unavailable = LuaError(
    .unavailable, "the Lua state is closed, or a deinit run by its collector tried to use it")
}

extension LuaError: CustomStringConvertible, CustomDebugStringConvertible {
  /// What a person reads, `train.lua:12: no such layer`: the message, without the traceback that a handler may have put behind it.
  public var description: String {
    guard let end = message.firstRange(of: LuaError.tracebackHeader) else { return message }
    return String(message[..<end.lowerBound])
  }

  /// The message, and under it the traceback if there is one. So does Swift show an error that nothing catches.
  public var debugDescription: String {
    if let traceback { return message + "\n" + traceback }
    return message
  }

  /// How a traceback begins behind a message, as `debug.traceback` writes it.
  fileprivate static let tracebackHeader = "\nstack traceback:\n"
}

extension LuaError.Position {
  /// Splits "chunk:12: rest".
  static func leading(_ message: String) -> (position: Self, rest: Substring)? {
    var search = message[...]
    while let colon = search.firstIndex(of: ":") {
      let after = message[message.index(after: colon)...]
      let digits = after.prefix { $0.isASCII && $0.isNumber }
      let tail = after[digits.endIndex...]
      if let line = Int(digits), tail.hasPrefix(": "), colon > message.startIndex {
        return (Self(chunk: String(message[..<colon]), line: line), tail.dropFirst(2))
      }
      if message[..<colon].contains("\n") { return nil }
      search = after
    }
    return nil
  }
}

/// A Swift error that became a Lua error, and how to know it again.
///
/// Scripts match error messages with string functions, so an error travels as a plain string; this record,
/// found by that string (or, for an error value that came from Lua, by the address of the value), brings
/// the Swift error back when the same error reaches the host.
struct Traveller {
  enum Key: Equatable {
    case message(String)
    case address(UnsafeRawPointer)

    /// Whether an error under this key is the one under that. Lua puts positions in front of a text that is raised again, by `error` or
    /// out of a wrapped coroutine, and handlers put tracebacks behind.
    func stands(for other: Key) -> Bool {
      guard case .message(let own) = self, case .message(let text) = other else { return self == other }
      if own == text { return true }
      var rest = text[...]
      if let end = text.firstRange(of: LuaError.tracebackHeader) { rest = text[..<end.lowerBound] }
      guard rest.hasSuffix(own), !own.isEmpty else { return false }
      rest = rest.dropLast(own.count)
      while let (_, after) = LuaError.Position.leading(String(rest)) { rest = after }
      return rest.isEmpty
    }
  }
  var key: Key
  var error: any Error
  /// Counts up; see `travellersBefore`.
  var number: Int
}

extension State {
  func remember(_ error: any Error, as key: Traveller.Key) {
    if travellers.count >= 8 { travellers.removeFirst() }
    travellerCount += 1
    travellers.append(Traveller(key: key, error: error, number: travellerCount))
  }

  /// Writes a Swift error on its way into Lua, at "chunk:line: ".
  func write(_ error: any Error, at position: @autoclosure () -> String) {
    if let error = error as? LuaError, error.isCaptured {
      if let value = error.value {
        if let address = value.reference?.address { remember(error, as: .address(address)) }
        LuaRuntime.write(value, to: pointer)
      } else {
        remember(error, as: .message(error.message))
        LuaRuntime.write(error.message, to: pointer)
      }
    } else {
      let message = position() + describe(error)
      remember(error, as: .message(message))
      LuaRuntime.write(message, to: pointer)
    }
  }

  /// Makes a Swift error of the Lua error value on top of the stack.
  func captureError(_ status: Int32, _ lua: OpaquePointer) -> LuaError {
    if let killed = killError() { return killed }
    let slot = Slot(lua, lua_gettop(lua))
    var error = LuaError(.runtime, "")
    error.isCaptured = true
    if status == LUA_ERRMEM { error.kind = .memory }
    if status == LUA_ERRSYNTAX { error.kind = .syntax }
    error.traceback = takeTraceback()

    let key: Traveller.Key?
    if let text = slot.string {
      error.message = text
      if case .bytes(let bytes)? = try? value(at: slot.index, lua) { error.value = .bytes(bytes) }
      key = .message(text)
    } else {
      key = slot.address.map { .address($0) }
      error.message = errorText(slot, lua)
      if let killed = killError() { return killed }  // __tostring is Lua code, and may run into a limit
      error.value = try? value(at: slot.index, lua)
    }
    // Only what was raised inside the host call that fails now: an earlier error with the same words, which a script has
    // caught, is not the reason for this one.
    if let key, let found = travellers.last(where: { $0.key.stands(for: key) && $0.number > travellersBefore })?.error {
      if let inner = found as? LuaError {
        error.kind = inner.kind
        error.cause = inner.cause
        error.traceback = joined(inner.traceback, error.traceback)
      } else {
        error.cause = found
        if let found = found as? any LuaErrorConvertible { error.kind = found.luaKind }
      }
    }
    return error
  }

  /// Whether a limit or an interruption ends the script as soon as Lua goes on: native code that takes long then gives up, with
  /// any error.
  public var isEnding: Bool { ml_killed(pointer) != ML_KILL_NONE }

  /// The error that stands for a kill under way.
  func killError() -> LuaError? {
    let kill = ml_killed(pointer)
    guard kill != ML_KILL_NONE else { return nil }
    let kind: LuaError.Kind
    let text: String
    switch kill {
    case ML_KILL_TIME: (kind, text) = (.timeLimit, "time limit exceeded")
    case ML_KILL_INSTRUCTIONS: (kind, text) = (.instructionLimit, "instruction limit exceeded")
    case ML_KILL_EXIT: (kind, text) = (.exit, "the script ended itself with status \(ml_exit_status(pointer))")
    default: (kind, text) = (.interrupted, "interrupted!")
    }
    var error = LuaError(kind, String(cString: ml_killed_at(pointer)) + text)
    error.isCaptured = true
    if kill == ML_KILL_EXIT { error.exitStatus = Int(ml_exit_status(pointer)) }
    error.traceback = takeTraceback()
    return error
  }

  /// The traceback of the call that failed just now; it is told once, so that no later error shows it.
  private func takeTraceback() -> String? {
    defer { ml_forget_trace(pointer) }
    return ml_trace(pointer).map { String(cString: $0) }
  }

  /// As `lua` shows error values that are not strings.
  private func errorText(_ slot: Slot, _ lua: OpaquePointer) -> String {
    if slot.type == .number || slot.type == .table || slot.type == .userdata {
      let top = lua_gettop(lua)
      defer { lua_settop(lua, top) }
      let hasText = slot.type == .number || luaHasMetafield(lua, slot.index, "__tostring")
      if hasText, ml_tostring(pointer, lua, slot.index) == LUA_OK,
        let text = Slot(lua, lua_gettop(lua)).string
      {
        return text
      }
    }
    return "(error object is a \(slot.type) value)"
  }

  private func luaHasMetafield(_ lua: OpaquePointer, _ index: Int32, _ name: String) -> Bool {
    guard lua_checkstack(lua, 3) != 0, lua_getmetatable(lua, index) != 0 else { return false }
    let metatable = lua_gettop(lua)
    return ml_raw_field(pointer, lua, metatable, name, name.utf8.count) == LUA_OK
      && lua_type(lua, -1) != LUA_TNIL
  }

  private func joined(_ inner: String?, _ outer: String?) -> String? {
    guard let inner, let outer else { return inner ?? outer }
    let header = "stack traceback:"
    return inner + (outer.hasPrefix(header) ? String(outer.dropFirst(header.count)) : "\n" + outer)
  }
}

/// The text under which a Swift error appears in Lua.
func describe(_ error: any Error) -> String {
  (error as? LuaError)?.message ?? (error as? any LuaErrorConvertible)?.luaMessage
    ?? String(describing: error)
}
