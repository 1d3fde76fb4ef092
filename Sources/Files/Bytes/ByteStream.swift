// Bytes that come one after another: from a file, out of a gzipped one, or out of a member of an archive.

/// Where bytes are read from in turn.
public protocol ByteStream: AnyObject {
  /// Which file it is, for errors.
  var path: String { get }
  /// More bytes than this cannot come, all in all; nil where that is not known. For checks before anything is allocated.
  var most: Int? { get }
  /// Fills the buffer with the next bytes; how many there were, which is fewer than asked for only at the end.
  func read(into target: UnsafeMutableRawBufferPointer) throws -> Int
}

extension ByteStream {
  /// The next bytes. Throws where there are fewer, and says what was to be read.
  func take(_ count: Int, _ what: String) throws -> [UInt8] {
    let bytes = try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(into: UnsafeMutableRawBufferPointer(buffer))
    }
    guard bytes.count == count else { throw FileError(path, "ends within \(what): \(count) bytes were to come, and \(bytes.count) did") }
    return bytes
  }
}

extension InputFile: ByteStream {
  /// The file's size; nil for a pipe or a device.
  public var most: Int? { size }
  /// The file's next bytes.
  public func read(into target: UnsafeMutableRawBufferPointer) throws -> Int { try readNext(into: target) }
}

/// Opens a file to be read from its beginning: through gzip, where its first bytes say that it is gzipped.
public func openStream(_ path: String) throws -> any ByteStream {
  let file = try InputFile(path)
  // A pipe cannot be looked into without taking the bytes out of it.
  guard file.size != nil else { return try GzipStream.unlessPlain(file, first: file.take(upTo: 2)) }
  var first: [UInt8] = [0, 0]
  let count = try first.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
  return count == 2 && first == GzipStream.magic ? try GzipStream(file) : file
}

extension ByteStream {
  /// Up to that many bytes.
  func take(upTo count: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(into: UnsafeMutableRawBufferPointer(buffer))
    }
  }
}

/// Bytes that were taken already, and what comes after them.
final class ContinuedStream: ByteStream {
  private var first: ArraySlice<UInt8>
  private let rest: any ByteStream
  var path: String { rest.path }
  var most: Int? { nil }

  init(_ first: [UInt8], _ rest: any ByteStream) {
    self.first = first[...]
    self.rest = rest
  }

  func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    let taken = first.prefix(target.count)
    target.copyBytes(from: taken)
    first = first.dropFirst(taken.count)
    return taken.count + (try rest.read(into: UnsafeMutableRawBufferPointer(rebasing: target[taken.count...])))
  }
}
