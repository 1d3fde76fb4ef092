// Reading numbers from bytes that nobody vouches for.

/// A position in bytes, from which numbers are read in turn. Every read is checked against the end.
public struct ByteReader {
  /// What is read from.
  public let bytes: UnsafeRawBufferPointer
  /// The next byte, counted from the first.
  public private(set) var position: Int
  /// The file, for errors.
  public let path: String

  /// `bytes` must outlive the reader.
  public init(_ bytes: UnsafeRawBufferPointer, path: String, at position: Int = 0) {
    self.bytes = bytes
    self.path = path
    self.position = min(max(position, 0), bytes.count)
  }

  /// How many bytes are left.
  public var left: Int { bytes.count - position }

  /// An error that says where it was.
  public func failure(_ problem: String) -> FileError { FileError(path, "byte \(position): \(problem)") }

  /// The next bytes. Throws where there are fewer.
  public mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
    guard count >= 0, count <= left else {
      throw failure("\(count) bytes are announced here, and \(left) are left")
    }
    defer { position += count }
    return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
  }

  /// A whole number, the byte of least weight first.
  public mutating func littleEndian<T: FixedWidthInteger>(_: T.Type = T.self) throws -> T {
    T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
  }

  /// A whole number, the byte of most weight first.
  public mutating func bigEndian<T: FixedWidthInteger>(_: T.Type = T.self) throws -> T {
    T(bigEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
  }

  /// Text of that many bytes. Throws where it is no UTF-8.
  public mutating func text(_ count: Int) throws -> String {
    let start = position
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      throw FileError(path, "byte \(start): the text here is no UTF-8")
    }
    return text
  }
}
