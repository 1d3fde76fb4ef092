// Which files scripts of a session may have: any, or those in folders that the host lends.

import Glibc

/// Folders whose files may be read, and folders whose files may be written.
package struct FilePolicy: Sendable {
  /// What is wanted of a file.
  package enum Use: Sendable {
    case reading, writing
  }

  private let readable, writable: [String]

  /// Folders by their paths; those that are not there lend nothing. What may be written may be read, too.
  package init(reading: [String], writing: [String]) {
    func found(_ paths: [String]) -> [String] { paths.compactMap(FilePolicy.resolved) }
    writable = found(writing)
    readable = found(reading) + writable
  }

  /// Whether any folder is lent.
  package var lendsAnything: Bool { !readable.isEmpty }

  /// Whether a file may be used so. Links are followed first, those in the path of one that is to be made as well.
  package func allows(_ path: String, for use: Use) -> Bool {
    let folders = use == .reading ? readable : writable
    guard !folders.isEmpty, let target = FilePolicy.resolved(path) ?? FilePolicy.resolvedParent(path) else { return false }
    return folders.contains { target == $0 || target.hasPrefix($0 == "/" ? "/" : $0 + "/") }
  }

  private static func resolved(_ path: String) -> String? {
    guard let text = realpath(path, nil) else { return nil }
    defer { free(text) }
    return String(cString: text)
  }

  /// The path of what is not there yet: its folder must be. A link that leads nowhere is no such thing.
  private static func resolvedParent(_ path: String) -> String? {
    var facts = stat()
    guard lstat(path, &facts) != 0, errno == ENOENT else { return nil }
    let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
    let cut = trimmed.lastIndex(of: "/")
    let name = cut.map { String(trimmed[trimmed.index(after: $0)...]) } ?? trimmed
    guard !name.isEmpty, name != ".", name != ".." else { return nil }
    let parent = cut.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
    guard let folder = resolved(parent) else { return nil }
    return folder == "/" ? "/" + name : "\(folder)/\(name)"
  }

  /// That of the context in force; nil where files are as free as the process's are.
  package static var current: FilePolicy? { Context.current.pointee.files }
}

extension Context {
  /// Which files its scripts may have; nil for any.
  package var files: FilePolicy? {
    get { state.pointee.files }
    set { state.pointee.files = newValue }
  }
}
