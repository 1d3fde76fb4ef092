// What the console's lines run in.

import LuaRuntime
import Moongrad

/// The console's variables: those declared `local` are kept here, all others are the globals that every script sees.
struct Environment {
  let table: TableReference
  let globals: TableReference
  private let declared: TableReference
  private let load: FunctionReference
  private let tostring: FunctionReference
  /// The globals that were there before the first line.
  let original: Set<String>

  init(_ session: Session) throws {
    let made = try session.state.run(
      source: """
        local declared, globals, rawset = {}, _G, rawset
        local environment = setmetatable({}, {
          __index = globals,
          __newindex = function(t, k, v) if declared[k] then rawset(t, k, v) else globals[k] = v end end,
        })
        return environment, declared, load, tostring, globals
        """, chunkName: "=(console)")
    guard made.count == 5, case .table(let environment) = made[0], case .table(let declared) = made[1],
      case .function(let load) = made[2], case .function(let tostring) = made[3], case .table(let globals) = made[4]
    else { throw LuaError("the console's environment could not be made") }
    (table, self.declared, self.load, self.tostring, self.globals) = (environment, declared, load, tostring, globals)
    original = try Self.names(globals)
  }

  // MARK: Compiling

  enum Compiled {
    case expression(FunctionReference)
    case statements(FunctionReference)
    /// More lines are needed.
    case incomplete(LuaError)
    case wrong(LuaError)
  }

  /// An expression, or statements whose top-level locals stay.
  func compile(_ text: String, name: String) throws -> Compiled {
    let bare = withoutEnd(text)
    let expression = try compiled("return " + bare, name)
    if case .success = expression {
      // As arguments, so that a call is no tail call, which would lose its line from tracebacks.
      return .expression(try compiled("return (function(...) return ... end)(" + bare + "\n)", name).get())
    }
    let statements = try compiled(text, name)
    guard case .failure(let error) = statements else {
      let locals = Locals(text)
      for name in locals.names { try declared.set(name, .boolean(true)) }
      return .statements(try compiled(locals.source, name).get())
    }
    if case .failure(let other) = expression, other.isIncomplete { return .incomplete(error) }
    return error.isIncomplete ? .incomplete(error) : .wrong(error)
  }

  /// A file, whose messages name it.
  func compile(
    _ text: String, file path: String, rewritingLocals: Bool
  ) throws -> Result<FunctionReference, LuaError> {
    let original = try compiled(text, path, prefix: "@")
    guard rewritingLocals, case .success = original else { return original }
    let locals = Locals(text)
    for name in locals.names { try declared.set(name, .boolean(true)) }
    return try compiled(locals.source, path, prefix: "@")
  }

  /// `x;` and `= x` are expressions too.
  private func withoutEnd(_ text: String) -> String {
    var text = text.trimmingSpace
    while text.last == ";" { text = String(text.dropLast()).trimmingSpace }
    if text.first == "=", text.dropFirst().first != "=" { text.removeFirst() }
    return text
  }

  private func compiled(_ source: String, _ name: String, prefix: String = "=") throws -> Result<FunctionReference, LuaError> {
    let results = try load.call(.string(source), .string(prefix + name), .string("t"), .table(table))
    if case .function(let function)? = results.first { return .success(function) }
    guard case .string(let message)? = results.last else { return .failure(LuaError(.syntax, "syntax error")) }
    return .failure(LuaError(.syntax, message))
  }

  // MARK: Values

  /// Keeps a result under a name, beside the globals.
  func keep(_ name: String, _ value: Value) throws {
    try declared.set(name, .boolean(true))
    try table.set(name, value)
  }

  func value(_ name: String) throws -> Value { try table.get(name) }

  /// The text of a value by Lua's `tostring`.
  func text(_ value: Value) throws -> String {
    switch try tostring.call(value).first {
    case .string(let text): text
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    default: "?"
    }
  }

  /// Variables that the user made.
  func variables() throws -> [String] {
    let own = try Self.names(table).subtracting(["_", "__"])
    return own.union(try Self.names(globals).subtracting(original)).sorted()
  }

  private static func names(_ table: TableReference) throws -> Set<String> {
    var names = Set<String>()
    try table.read { try $0.forEachPair { key, _ in if let name = key.string { names.insert(name) } } }
    return names
  }
}

extension LuaError {
  /// Whether the chunk ended too early.
  var isIncomplete: Bool { message.hasSuffix("<eof>") || message.hasSuffix("'<eof>'") }
}
