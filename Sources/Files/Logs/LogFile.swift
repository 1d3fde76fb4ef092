// A file that grows: what was written stays, whatever happens later.

import Glibc

/// A file to whose end text or records are added, each handed to the system at once.
public final class LogFile {
  /// The path that it was opened by.
  public let path: String
  private var descriptor: Int32

  /// Opens a file, after what it has where `appends`, and empty where not. Folders on the way are made where `makesFolders`.
  public init(_ path: String, appends: Bool = false, makesFolders: Bool = false) throws {
    self.path = try checked(path: path, for: .writing)
    if makesFolders, let end = path.lastIndex(of: "/"), end > path.startIndex { try LogFile.makeFolder(String(path[..<end])) }
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (appends ? 0 : O_TRUNC), 0o666)
    guard descriptor >= 0 else { throw FileError(path, "cannot be written", system: errno) }
  }

  deinit { close() }

  /// Makes a folder and those above it, where there are none.
  public static func makeFolder(_ path: String) throws {
    // A folder above another for each `/`: what no system takes would be a long way down.
    guard path.utf8.count <= 4096 else { throw FileError("", "a path of \(path.utf8.count) bytes is too long") }
    var facts = stat()
    if stat(try checked(path: path, for: .writing), &facts) == 0 {
      guard facts.st_mode & S_IFMT == S_IFDIR else { throw FileError(path, "is no folder") }
      return
    }
    if let end = path.lastIndex(of: "/"), end > path.startIndex { try makeFolder(String(path[..<end])) }
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw FileError(path, "cannot be made", system: errno) }
  }

  /// Adds bytes at the end.
  public func write(_ bytes: [UInt8]) throws {
    guard descriptor >= 0 else { throw FileError(path, "was closed") }
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
      if count > 0 { offset += count } else if count == 0 || errno != EINTR { throw FileError(path, "cannot be written", system: errno) }
    }
  }

  /// Waits until what was written is on the disk.
  public func sync() { if descriptor >= 0 { fsync(descriptor) } }

  /// Nothing can be added after it; a second time does nothing.
  public func close() {
    guard descriptor >= 0 else { return }
    Glibc.close(descriptor)
    descriptor = -1
  }
}
