// Where `require` looks.

import LuaRuntime

extension Session {
  /// Makes `require` look in a directory before it looks anywhere else.
  public func addSearchPath(_ directory: String) throws {
    guard Session.canSearch(directory) else {
      throw LuaError("require cannot look in \(directory): a search path cannot contain '?' or ';'")
    }
    guard case .table(let package) = try state.global("package") else { return }
    var path = ""
    if case .string(let known) = try package.get("path") { path = known }
    let prefix = directory.isEmpty ? "./" : directory.hasSuffix("/") ? directory : directory + "/"
    let new = "\(prefix)?.lua;\(prefix)?/init.lua;"
    if !path.hasPrefix(new) { try package.set("path", .string(new + path)) }
  }

  /// "?" and ";" mean something else in `package.path`, and there is no way to quote them.
  package static func canSearch(_ directory: String) -> Bool {
    !directory.contains("?") && !directory.contains(";")
  }
}
