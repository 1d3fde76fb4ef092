// Writing a file so that no failure harms what was there.

import Glibc
import Tensors

/// A file that is being written beside the one that it will replace.
///
/// What existed as a regular file, behind symbolic links or not, is replaced when the new one is whole: a full disk or a kill at any
/// moment leaves either the old file or the new one, and so does a crash of the machine where the file is synced. A device or a pipe
/// is written to as it is.
public final class OutputFile {
  /// The path that it was opened by.
  public let path: String
  private let target: String
  private let written: String
  private let replaces, isSynced: Bool
  private var descriptor: Int32
  /// How many bytes were written.
  public private(set) var count = 0

  /// Begins a file, which is on the disk before it takes its place unless `isSynced` is false. Throws where it cannot be written there.
  public init(_ path: String, isSynced: Bool = true) throws {
    self.path = try checked(path: path, for: .writing)
    self.isSynced = isSynced
    var target = path
    if let real = realpath(path, nil) {
      target = String(cString: real)
      free(real)
    }
    var facts = stat()
    let exists = stat(target, &facts) == 0
    replaces = !exists || facts.st_mode & S_IFMT == S_IFREG
    self.target = target
    // In the same folder, so that the renaming is within one file system; of its own name, so that writers do not meet.
    written = replaces ? "\(target).part-\(getpid())-\(String(UInt32.random(in: 0...(.max)), radix: 36))" : target
    descriptor = open(
      written, O_WRONLY | O_CLOEXEC | (replaces ? O_CREAT | O_EXCL : 0), exists ? facts.st_mode & 0o7777 : 0o666)
    guard descriptor >= 0 else { throw FileError(path, "cannot be written", system: errno) }
  }

  deinit { abandon() }

  /// Bytes between two looks whether somebody stops what runs: tens of milliseconds.
  private static let atOnce = 1 << 23

  /// Adds bytes at the end.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var offset = 0
    while offset < bytes.count {
      let written = Glibc.write(descriptor, bytes.baseAddress! + offset, min(bytes.count - offset, Self.atOnce))
      if written > 0 {
        offset += written
        if bytes.count > Self.atOnce {
          // To the disk now, so that at the end there is not much to wait for.
          if replaces, isSynced, offset % (Self.atOnce << 2) < written { fdatasync(descriptor) }
          try Context.checkStop()
        }
      } else if written == 0 || errno != EINTR {
        let code = written == 0 ? EIO : errno
        abandon()
        throw FileError(path, "cannot be written", system: code)
      }
    }
    count += bytes.count
  }

  /// Writes bytes after those before. Throws what the system says.
  public func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

  /// Puts the whole file into its place. Nothing can be written after it.
  public func finish() throws {
    guard descriptor >= 0 else { throw FileError(path, "cannot be written, since it was given up or finished before") }
    // Before the renaming, which must not come to the disk before the bytes do.
    if replaces, isSynced, fsync(descriptor) != 0 { return try fail(errno) }
    let descriptor = descriptor
    self.descriptor = -1
    guard close(descriptor) == 0 else { return try fail(errno) }
    guard replaces else { return }
    guard rename(written, target) == 0 else { return try fail(errno) }
    guard isSynced else { return }
    // The folder's entry, so that the name survives too; a file system that cannot is none of the writer's fault.
    let folder = target.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
    let entry = open(folder.isEmpty ? (target.hasPrefix("/") ? "/" : ".") : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if entry >= 0 {
      fsync(entry)
      close(entry)
    }
  }

  private func fail(_ code: Int32) throws {
    abandon()
    if replaces { unlink(written) }
    throw FileError(path, "cannot be written", system: code)
  }

  /// Gives the new file up.
  public func abandon() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    if replaces { unlink(written) }
  }

  /// Writes a file of those bytes, one piece after another.
  public static func write(_ pieces: [UnsafeRawBufferPointer], to path: String, isSynced: Bool = true) throws {
    let file = try OutputFile(path, isSynced: isSynced)
    for piece in pieces { try file.write(piece) }
    try file.finish()
  }
}
