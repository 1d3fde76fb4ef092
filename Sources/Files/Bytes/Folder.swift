// Folders: what is in one.

import Glibc

/// What can be done with folders.
public enum Folder {
  /// The names in a folder, sorted. Throws where there is none that may be read.
  public static func names(_ path: String) throws -> [String] {
    guard let stream = opendir(try checked(path: path, for: .reading)) else { throw FileError(path, "cannot be read", system: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file; nothing happens where there is none.
  public static func remove(file path: String) throws {
    guard unlink(try checked(path: path, for: .writing)) == 0 || errno == ENOENT else {
      throw FileError(path, "cannot be removed", system: errno)
    }
  }

  /// Removes what writers of files in a folder left that were killed (see ``OutputFile``): files with names that begin with `prefix`.
  public static func removeLeftovers(in path: String, of prefix: String) throws {
    for name in try names(path) where name.hasPrefix(prefix) {
      guard let mark = name.firstRange(of: ".part-"), let writer = pid_t(name[mark.upperBound...].prefix { $0 != "-" }) else { continue }
      // Of one that lives, it is being written. This process writes none while it looks.
      if writer == getpid() || kill(writer, 0) != 0 && errno == ESRCH { try remove(file: "\(path)/\(name)") }
    }
  }
}
