// Reading a file at any position.

import Glibc
import Tensors

/// A file that is open for reading. Positions are read without moving anything, so that threads may share it.
public final class InputFile: @unchecked Sendable {
  /// The path that it was opened by.
  public let path: String
  /// Its size in bytes when it was opened; nil for what has none, a pipe or a device.
  public let size: Int?
  private let descriptor: Int32

  /// Opens a file. Throws where there is none that may be read, and for folders.
  public init(_ path: String) throws {
    self.path = try checked(path: path, for: .reading)
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(path, "cannot be read", system: errno) }
    var facts = stat()
    guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT != S_IFDIR else {
      let code = facts.st_mode & S_IFMT == S_IFDIR ? EISDIR : errno
      close(descriptor)
      throw FileError(path, "cannot be read", system: code)
    }
    size = facts.st_mode & S_IFMT == S_IFREG ? Int(facts.st_size) : nil
  }

  deinit { close(descriptor) }

  /// Reads up to that many bytes from where the last call ended; fewer at the end only, where it is 0 then.
  public func readNext(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    try read(into: target) { Glibc.read(descriptor, $0, $1) }
  }

  /// Reads the bytes from `offset` on; how many there were, which is fewer than asked for only at the end of the file.
  public func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) throws -> Int {
    var position = off_t(offset)
    return try read(into: target) {
      let count = pread(descriptor, $0, $1, position)
      if count > 0 { position += off_t(count) }
      return count
    }
  }

  private func read(into target: UnsafeMutableRawBufferPointer, _ once: (UnsafeMutableRawPointer, Int) -> Int) throws -> Int {
    var filled = 0
    while filled < target.count {
      // Between two looks whether somebody stops what runs.
      let count = once(target.baseAddress! + filled, min(target.count - filled, 1 << 23))
      if count == 0 { break }
      let code = errno
      if filled > 0 || count < 0 { try Context.checkStop() }
      if count > 0 { filled += count } else if code != EINTR { throw FileError(path, "cannot be read", system: code) }
    }
    return filled
  }

  /// The bytes of a part. Throws where the file ends before.
  public func bytes(at offset: Int, count: Int) throws -> [UInt8] {
    if let size { try requirePart(at: offset, count: count, of: size) }
    let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(at: offset, into: UnsafeMutableRawBufferPointer(buffer))
    }
    guard bytes.count == count else {
      throw FileError(path, "ends at byte \(offset + bytes.count), \(count - bytes.count) bytes too early")
    }
    return bytes
  }

  /// Throws unless `count` bytes at `offset` lie within a file of that size; before anything is allocated for them.
  public func requirePart(at offset: Int, count: Int, of size: Int) throws {
    guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
      throw FileError(path, "\(count) bytes from byte \(offset) on are more than the file's \(size)")
    }
  }

  /// All of it. Throws where it is larger than `most` bytes.
  public func contents(most: Int = .max) throws -> [UInt8] {
    if let size {
      guard size <= most else { throw FileError(path, "has \(size) bytes, more than the \(most) that are read") }
      return try bytes(at: 0, count: size)
    }
    var result: [UInt8] = []
    while true {
      let chunk = try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, filled in
        filled = try readNext(into: UnsafeMutableRawBufferPointer(buffer))
      }
      result += chunk
      guard result.count <= most else { throw FileError(path, "has more than the \(most) bytes that are read") }
      if chunk.count < 1 << 16 { return result }
    }
  }
}
