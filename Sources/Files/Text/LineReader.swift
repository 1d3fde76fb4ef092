// Lines of text, from files that may be larger than memory.

import Glibc

/// Reads a file, gzipped or not, line by line. Lines end in a line feed, which a carriage return may stand before; neither is part of them.
public final class LineReader {
  /// The path that it was opened by.
  public let path: String
  /// The number of the line that was read last, from 1.
  public private(set) var number = 0
  /// Lines longer than this are refused, in bytes.
  private let longest: Int
  private let stream: any ByteStream
  private var bytes: [UInt8]
  private var place = 0, end = 0
  private var isAtEnd = false

  /// Opens a file; longer lines, in bytes, are refused. Throws where there is none that can be read.
  public init(_ path: String, longestLine: Int = 64 << 20) throws {
    self.path = path
    longest = longestLine
    stream = try openStream(path)
    bytes = [UInt8](repeating: 0, count: 1 << 16)
    try refill()
    if bytes[..<end].starts(with: [0xef, 0xbb, 0xbf]) { place = 3 }
  }

  private func refill() throws {
    let kept = end - place
    guard kept <= longest else { throw FileError(path, "line \(number + 1) is longer than the \(longest) bytes that are read") }
    if kept > bytes.count / 2 { bytes += [UInt8](repeating: 0, count: bytes.count) }
    let (start, count) = (place, bytes.count - kept)
    try bytes.withUnsafeMutableBytes { buffer in
      if start > 0 { memmove(buffer.baseAddress!, buffer.baseAddress! + start, kept) }
      let read = try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[kept...]))
      isAtEnd = read < count
      end = kept + read
    }
    place = 0
  }

  /// Calls `body` with the next line; nil at the end.
  public func next<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result? {
    var searched = place
    while true {
      let found = bytes.withUnsafeBytes { buffer in
        memchr(buffer.baseAddress! + searched, 0x0a, end - searched).map { UnsafeRawPointer($0) - buffer.baseAddress! }
      }
      if found == nil, !isAtEnd {
        searched = end - place
        try refill()
        continue
      }
      guard found != nil || place < end else { return nil }
      let start = place
      var last = found ?? end
      place = min(last + 1, end)
      number += 1
      if last > start, found != nil, bytes[last - 1] == 0x0d { last -= 1 }
      return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<last])) }
    }
  }
}

/// Reads JSON Lines: a value of JSON on each line. Empty lines are passed over.
public final class JSONLinesReader {
  private let lines: LineReader
  /// The file.
  public var path: String { lines.path }

  /// Opens a file. Throws where there is none that can be read.
  public init(_ path: String) throws { lines = try LineReader(path) }

  /// The next value; nil at the end. Errors name the line in the file.
  public func next() throws -> JSON? {
    while true {
      let value: JSON?? = try lines.next { line in
        guard !line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) else { return nil }
        do { return try JSON(line) } catch let error as FileError {
          // The text is of one line, whose number in the file is another.
          throw FileError(path, "line \(lines.number), \(error.problem.dropFirst("line 1, ".count))")
        }
      }
      guard let value else { return nil }
      if let value { return value }
    }
  }
}
