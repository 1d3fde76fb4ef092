// Where `require` looks.

import LuaRuntime

extension Session {
  /// Makes `require` look in a directory before it looks anywhere else.
  public func addSearchPath(_ directory: String) throws {
    guard case .table(let package) = try state.global("package") else { return }
    var path = ""
    if case .string(let known) = try package.get("path") { path = known }
    // "?" and ";" mean something else in package.path, and there is no way to quote them.
    guard !directory.contains("?"), !directory.contains(";") else {
      throw LuaError("require cannot look in \(directory): a search path cannot contain '?' or ';'")
    }
    let prefix = directory.isEmpty ? "./" : directory.hasSuffix("/") ? directory : directory + "/"
    try package.set("path", .string("\(prefix)?.lua;\(prefix)?/init.lua;\(path)"))
  }
}
