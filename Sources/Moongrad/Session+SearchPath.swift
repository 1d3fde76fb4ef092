// Where `require` looks.

import Glibc
import LuaRuntime

extension Session {
  /// Makes `require` look in a directory before it looks anywhere else.
  public func addSearchPath(_ directory: String) throws {
    guard Session.canSearch(directory.utf8) else {
      throw LuaError("require cannot look in \(directory): a search path cannot contain '?' or ';'")
    }
    try addSearchPath(Array(directory.utf8))
  }

  /// Makes `require` look beside a script, and where that is a symbolic link beside what it leads to after that. The name may be
  /// in any encoding.
  package func addSearchPaths(beside script: [UInt8]) throws {
    if let target = (script + [0]).withUnsafeBytes({ realpath($0.assumingMemoryBound(to: CChar.self).baseAddress!, nil) }) {
      defer { free(target) }
      let linked = UnsafeRawBufferPointer(start: target, count: strlen(target))
      if isLink(script) { try addSearchPath(besideFile: Array(linked)) }
    }
    try addSearchPath(besideFile: script)
  }

  private func isLink(_ path: [UInt8]) -> Bool {
    var info = stat()
    let code = (path + [0]).withUnsafeBytes { lstat($0.assumingMemoryBound(to: CChar.self).baseAddress!, &info) }
    return code == 0 && info.st_mode & S_IFMT == S_IFLNK
  }

  private func addSearchPath(besideFile path: [UInt8]) throws {
    let directory = path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[...$0]) } ?? []
    if Session.canSearch(directory) { try addSearchPath(directory) }
  }

  private func addSearchPath(_ directory: [UInt8]) throws {
    guard case .table(let package) = try state.global("package") else { return }
    var path: [UInt8] = []
    switch try package.get("path") {
    case .string(let known): path = Array(known.utf8)
    case .bytes(let known): path = known
    default: break
    }
    let prefix = directory.isEmpty ? Array("./".utf8) : directory.last == UInt8(ascii: "/") ? directory : directory + [UInt8(ascii: "/")]
    let new = prefix + Array("?.lua;".utf8) + prefix + Array("?/init.lua;".utf8)
    if !path.starts(with: new) { try package.set("path", Value(new + path)) }
  }

  /// "?" and ";" mean something else in `package.path`, and there is no way to quote them.
  private static func canSearch(_ directory: some Sequence<UInt8>) -> Bool {
    !directory.contains { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: ";") }
  }
}
