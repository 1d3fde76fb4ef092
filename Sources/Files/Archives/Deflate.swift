// Deflated bytes (RFC 1951), plain as in zip archives and in gzip's frame, by zlib.

import CZlib

/// Deflate's most: a byte stands for so many of them.
let greatestRatio = 1032

/// What unpacks a stream of deflated bytes, piece by piece.
final class Inflater {
  enum Form: Int32 {
    /// Without a frame.
    case plain = -15
    /// With gzip's header and checksum, which are verified.
    case gzip = 31
  }

  // Its address must stay, since zlib's own state points back to it.
  private let stream: UnsafeMutablePointer<z_stream>
  private(set) var hasEnded = false

  init(_ form: Form, path: String) throws {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    guard mg_inflate_begin(stream, form.rawValue) == Z_OK else {
      stream.deallocate()
      throw FileError(path, "there is no memory to unpack it with")
    }
  }

  deinit {
    inflateEnd(stream)
    stream.deallocate()
  }

  /// Begins anew, with the next stream.
  func restart() {
    inflateReset(stream)
    hasEnded = false
  }

  /// Unpacks from `source` into `target` until one of them is used up or the stream ends: how many bytes of each were used.
  /// Throws a sentence of zlib's without a path, for what no packer wrote.
  func step(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws -> (read: Int, written: Int) {
    let given = min(source.count, 1 << 30)
    let room = min(target.count, 1 << 30)
    stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(given)
    stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_out = UInt32(room)
    switch inflate(stream, Z_NO_FLUSH) {
    case Z_STREAM_END: hasEnded = true
    case Z_OK, Z_BUF_ERROR: break
    default: throw FileError("", stream.pointee.msg.map { String(cString: $0) } ?? "the bytes are not what deflate writes")
    }
    return (given - Int(stream.pointee.avail_in), room - Int(stream.pointee.avail_out))
  }
}

/// Bytes packed without a frame. `level` is from 1, fast, to 9, small.
func deflated(_ pieces: [UnsafeRawBufferPointer], level: Int32 = 6) throws -> [UInt8] {
  let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  stream.initialize(to: z_stream())
  defer { stream.deallocate() }
  guard mg_deflate_begin(stream, level, Inflater.Form.plain.rawValue) == Z_OK else {
    throw FileError("", "there is no memory to pack with")
  }
  defer { deflateEnd(stream) }
  var result: [UInt8] = []
  func pack(_ piece: UnsafeRawBufferPointer, _ flush: Int32) {
    stream.pointee.next_in = UnsafeMutablePointer(mutating: piece.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.pointee.avail_in = UInt32(piece.count)
    withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { room in
      repeat {
        stream.pointee.next_out = room.baseAddress!.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room.count)
        _ = deflate(stream, flush)
        result += room[..<(room.count - Int(stream.pointee.avail_out))]
      } while stream.pointee.avail_out == 0
    }
  }
  for piece in pieces {
    for start in stride(from: 0, to: piece.count, by: 1 << 30) {
      pack(UnsafeRawBufferPointer(rebasing: piece[start..<min(piece.count, start + 1 << 30)]), Z_NO_FLUSH)
    }
  }
  pack(UnsafeRawBufferPointer(start: nil, count: 0), Z_FINISH)
  return result
}

/// The checksum of zip archives, of those bytes after others whose checksum is `before`.
func checksum(_ bytes: UnsafeRawBufferPointer, after before: UInt32 = 0) -> UInt32 {
  guard let base = bytes.baseAddress else { return before }
  return UInt32(truncatingIfNeeded: crc32_z(UInt(before), base.assumingMemoryBound(to: UInt8.self), bytes.count))
}

/// What gzip packed, unpacked: one stream, or several after one another, as gzip itself takes them.
final class GzipStream: ByteStream {
  static let magic: [UInt8] = [0x1f, 0x8b]

  private let source: any ByteStream
  private let inflater: Inflater
  private var packed = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 16)
  private var place = 0, filled = 0
  /// Packed bytes before those in the buffer.
  private var before = 0
  private var isAtEnd = false
  var path: String { source.path }
  var most: Int? { source.most.map { $0.multipliedReportingOverflow(by: greatestRatio).partialValue } }

  init(_ source: any ByteStream) throws {
    self.source = source
    inflater = try Inflater(.gzip, path: source.path)
  }

  deinit { packed.deallocate() }

  /// What unpacks the source, or the source itself where its first bytes, taken from it already, are none of gzip's.
  static func unlessPlain(_ source: any ByteStream, first: [UInt8]) throws -> any ByteStream {
    let whole = ContinuedStream(first, source)
    return first == magic ? try GzipStream(whole) : whole
  }

  private func failure(_ problem: String) -> FileError { FileError(path, "byte \(before + place) of the gzipped file: \(problem)") }

  /// Whether there are more packed bytes.
  private func fill() throws -> Bool {
    if place < filled { return true }
    before += filled
    place = 0
    filled = try source.read(into: packed)
    return filled > 0
  }

  func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    var written = 0
    while written < target.count, !isAtEnd {
      guard try fill() else {
        if inflater.hasEnded { break }
        throw failure("it ends before what was packed does")
      }
      if inflater.hasEnded {
        // Another stream may follow; zeros, as tapes leave them, are no stream.
        guard packed[place] == GzipStream.magic[0] else {
          guard packed[place] == 0 else { throw failure("after the end of what was packed there is something else") }
          isAtEnd = true
          break
        }
        inflater.restart()
      }
      let step: (read: Int, written: Int)
      do {
        step = try inflater.step(
          UnsafeRawBufferPointer(rebasing: packed[place..<filled]), into: UnsafeMutableRawBufferPointer(rebasing: target[written...]))
      } catch let error as FileError { throw failure(error.problem) }
      place += step.read
      written += step.written
    }
    return written
  }
}
