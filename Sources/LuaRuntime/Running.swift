// Running scripts, and making values known to them.
import CLuaShim
import Glibc

extension State {
  /// Compiles and runs source text; what it returns. Binary chunks are refused.
  ///
  /// `chunkName` follows Lua: "=stdin" is shown as it is, "@train.lua" as a file, anything else as source. Global names of the
  /// text are those of `environment`, if there is one.
  @discardableResult
  public func run(
    source: String, chunkName: String? = nil, arguments: [Value] = [], environment: TableReference? = nil
  ) throws -> [Value] {
    var source = source
    return try source.withUTF8 { bytes in
      try run(bytes: UnsafeRawBufferPointer(bytes), chunkName: chunkName, arguments: arguments, environment: environment)
    }
  }

  /// Runs what ``luaRelease`` compiled and a host trusts: bytecode that is made up can do anything to the process.
  package func run(bytecode: [UInt8], arguments: [Value] = [], environment: TableReference? = nil) throws -> [Value] {
    try bytecode.withUnsafeBytes {
      try run(bytes: $0, chunkName: "", isBytecode: true, arguments: arguments, environment: environment)
    }
  }

  /// The release of Lua that is linked.
  package static let luaRelease = String(cString: ml_lua_release())

  /// Runs a file; what it returns. `arguments` become `...` and the global `arg`, as in `lua`. A first line
  /// that starts with `#` is skipped.
  @discardableResult
  public func run(file path: String, arguments: [String] = [], environment: TableReference? = nil) throws -> [Value] {
    let (function, arguments) = try load(file: path, arguments: arguments, environment: environment)
    return try function.call(arguments)
  }

  /// The function and the arguments by which ``run(file:arguments:environment:)`` runs a file.
  public func load(
    file path: String, arguments: [String], environment: TableReference? = nil
  ) throws -> (FunctionReference, [Value]) {
    let function = try load(bytes: scriptText(try readFile(path)), chunkName: "@" + path)
    if let environment { try function.setEnvironment(environment) }
    let list = arguments.map { Value.string($0) }
    var fields: [(key: Value, value: Value)] = [(.integer(0), .string(path))]
    for (index, argument) in list.enumerated() { fields.append((.integer(index + 1), argument)) }
    if let environment { try environment.set("arg", .record(fields)) } else { try setGlobal("arg", .record(fields)) }
    return (function, list)
  }

  /// The values of a chunk such as `return x, y`, or of an expression list such as `x, y`.
  public func evaluate(_ source: String, environment: TableReference? = nil) throws -> [Value] {
    try load(evaluating: source, environment: environment).call()
  }

  /// The function that ``evaluate(_:environment:)`` calls.
  public func load(evaluating source: String, environment: TableReference? = nil) throws -> FunctionReference {
    let name = "=(evaluate)"
    let function: FunctionReference
    do {
      function = try load("return " + source, chunkName: name)
    } catch let error as LuaError where error.kind == .syntax {
      function = try load(source, chunkName: name)
    }
    if let environment { try function.setEnvironment(environment) }
    return function
  }

  /// Compiles source text into a function.
  public func load(_ source: String, chunkName: String? = nil) throws -> FunctionReference {
    try load(bytes: Array(source.utf8), chunkName: chunkName ?? source)
  }

  /// As ``load(_:chunkName:)`` for text in any encoding, which strings of the chunk keep.
  public func load(bytes: [UInt8], chunkName: String) throws -> FunctionReference {
    try load(bytes: bytes, chunkName: Array(chunkName.utf8))
  }

  /// As ``load(bytes:chunkName:)`` for a name in any encoding, as those of files may be.
  public func load(bytes: [UInt8], chunkName: [UInt8]) throws -> FunctionReference {
    try withLua { lua in
      try bytes.withUnsafeBytes { bytes in
        try (chunkName + [0]).withUnsafeBytes { try load(bytes, $0.assumingMemoryBound(to: CChar.self).baseAddress!, lua) }
      }
      return FunctionReference(reference: try reference(at: lua_gettop(lua), lua))
    }
  }

  /// The Lua call stack, as `debug.traceback` prints it.
  public func traceback(_ message: String? = nil) -> String {
    let text: String? = try? withLua { lua in
      try check(ml_traceback(pointer, lua, message, 0), lua)
      return Slot(lua, lua_gettop(lua)).string
    }
    return text ?? ""
  }

  private func run(
    bytes: UnsafeRawBufferPointer, chunkName: String?, isBytecode: Bool = false, arguments: [Value], environment: TableReference? = nil
  ) throws -> [Value] {
    try withLua { lua in
      try load(bytes, chunkName ?? String(decoding: bytes.prefix(64), as: UTF8.self), lua, isBytecode: isBytecode)
      if let environment {
        ml_push_reference(lua, environment.reference.identifier)
        lua_setupvalue(lua, -2, 1)
      }
      return try call(arguments, lua)
    }
  }

  private func load(_ bytes: UnsafeRawBufferPointer, _ name: UnsafePointer<CChar>, _ lua: OpaquePointer, isBytecode: Bool = false) throws {
    let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
    try check(ml_load(pointer, lua, start, bytes.count, name, isBytecode), lua)
  }

  // MARK: Names

  /// A global variable. Reading or writing one never runs Lua code unless a script gave `_G` a metatable.
  public func global(_ name: String) throws -> Value { try globals().get(name) }

  /// Assigns a global variable; nil removes it.
  public func setGlobal(_ name: String, _ value: Value) throws { try globals().set(name, value) }

  /// Makes `require "name"` return a value, also after a script has removed it from package.loaded.
  public func register(module name: String, _ value: Value) throws {
    let loaded = try packageTable("_LOADED")
    try loaded.set(name, value)
    let value = try loaded.get(name)
    try register(module: name, loader: NativeFunction(name) { call in call.returns(value) })
  }

  /// Makes the first `require "name"` call a loader and keep its result. Its arguments are the name and ":preload:".
  public func register(module name: String, loader: NativeFunction) throws {
    try packageTable("_PRELOAD").set(name, .native(loader))
  }

  /// The files that scripts have loaded by `require`, `dofile` and `loadfile`, by the names that messages use. None where the
  /// state cannot tell, since memory is short.
  public var loadedFiles: Set<String> {
    var names = Set<String>()
    guard let registry = try? registry(), case .table(let files)? = try? registry.get("moongrad.files") else { return names }
    try? files.read { try $0.forEachPair(runsScripts: false) { key, _ in if let name = key.string { names.insert(name) } } }
    return names
  }

  private func registry() throws -> TableReference {
    try withLua { lua in
      lua_pushvalue(lua, ml_registry_index)
      return TableReference(reference: try reference(at: lua_gettop(lua), lua))
    }
  }

  private func globals() throws -> TableReference {
    try withLua { lua in
      lua_rawgeti(lua, ml_registry_index, lua_Integer(LUA_RIDX_GLOBALS))
      return TableReference(reference: try reference(at: lua_gettop(lua), lua))
    }
  }

  /// What `require` looks into, which scripts know as package.loaded and package.preload: read from the registry, since they may
  /// give those names other values.
  private func packageTable(_ field: String) throws -> TableReference {
    guard case .table(let table) = try registry().get(field) else { throw LuaError("this state cannot require modules") }
    return table
  }
}

/// A script as it stands in a file, without a UTF-8 byte order mark, and with blanks in the place of a first line such as
/// `#!/usr/bin/env moongrad`, which stays a line for the sake of line numbers.
package func scriptText(_ bytes: [UInt8]) -> [UInt8] {
  let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
  guard text.first == UInt8(ascii: "#") else { return Array(text) }
  let end = text.firstIndex(of: UInt8(ascii: "\n")) ?? text.endIndex
  return [UInt8](repeating: UInt8(ascii: " "), count: end - text.startIndex) + text[end...]
}

/// The bytes of a file, or one clear sentence.
package func readFile(_ path: String) throws -> [UInt8] { try readFile(Array(path.utf8)) }

/// The same for a name in any encoding.
package func readFile(_ name: [UInt8]) throws -> [UInt8] {
  let path = String(decoding: name, as: UTF8.self)
  func failure(_ code: Int32) -> LuaError {
    LuaError(.file, "cannot open \(path): \(String(cString: strerror(code)).lowercased())")
  }
  let descriptor = (name + [0]).withUnsafeBytes { open($0.assumingMemoryBound(to: CChar.self).baseAddress!, O_RDONLY | O_CLOEXEC) }
  guard descriptor >= 0 else { throw failure(errno) }
  defer { close(descriptor) }
  var info = stat()
  guard fstat(descriptor, &info) == 0 else { throw failure(errno) }
  guard info.st_mode & S_IFMT != S_IFDIR else {
    throw LuaError(.file, "cannot run \(path): it is a directory")
  }
  var bytes: [UInt8] = []
  bytes.reserveCapacity(Int(info.st_size) + 1)
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(descriptor, &chunk, chunk.count)
    if count > 0 { bytes.append(contentsOf: chunk[..<count]) }
    if count == 0 { return bytes }
    if count < 0 && errno != EINTR { throw failure(errno) }
  }
}
