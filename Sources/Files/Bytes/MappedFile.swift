// A file's bytes in memory without reading them.

import Glibc

/// A regular file whose bytes appear in memory and are read when they are looked at. Writes into the bytes, by those who may, stay
/// in memory.
///
/// Whoever shortens the file meanwhile breaks the mapping: the system ends a process that looks at what is gone (SIGBUS). So this is
/// for files that are the reader's own; others are read with ``InputFile``.
public final class MappedFile: @unchecked Sendable {
  /// The path that it was opened by.
  public let path: String
  /// Its bytes.
  public let count: Int
  /// The first byte; nil for an empty file.
  public let base: UnsafeMutableRawPointer?

  /// Maps a file. Throws where there is none that may be read, and for what is no regular file.
  public init(_ path: String) throws {
    self.path = try checked(path: path, for: .reading)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(path, "cannot be read", system: errno) }
    defer { close(descriptor) }
    var facts = stat()
    guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
      throw FileError(path, "only regular files can be mapped into memory")
    }
    count = Int(facts.st_size)
    guard count > 0 else {
      base = nil
      return
    }
    // Written pages become the process's own; the file is left alone.
    guard let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw FileError(path, "cannot be mapped into memory", system: errno)
    }
    base = address
  }

  deinit { if let base { munmap(base, count) } }

  /// The bytes, as long as the object lives.
  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
}
