// Reading .npy files.

import Glibc
import Tensors

extension NumPyFile {
  /// The array in a file, row-major.
  ///
  /// Elements of the other byte order are turned around, whole numbers without sign of 16 and 32 bits become int32 and int64, and
  /// what has no dtype is refused by NumPy's name. Nothing is allocated for a size that the file does not have.
  public static func read(_ path: String, while goesOn: () throws -> Void = {}) throws -> Tensor {
    let file = try InputFile(path)
    // What is no regular file has no size; its bytes come as they do.
    return try read(file, size: file.size, while: goesOn)
  }

  /// The array in a file, whose elements are read when they are looked at: for arrays larger than memory, and those of which little
  /// is wanted. What is written to the tensor stays in memory; see ``MappedFile`` for what whoever shortens the file does.
  ///
  /// Column-major arrays, and those whose elements the machine cannot take as they lie, are read as by ``read(_:while:)``.
  public static func map(_ path: String) throws -> Tensor {
    let file = try InputFile(path)
    guard let size = file.size else { throw FileError(path, "only regular files can be mapped into memory") }
    let (header, start) = try self.header(file)
    let facts = try header.facts(path: path)
    let shape = try self.shape(header, facts, path, bytes: size - start)
    guard !facts.isBigEndian, !facts.isUnsigned, !header.isColumnMajor || shape.rank < 2, facts.dtype != .bool,
      start.isMultiple(of: facts.width), shape.count > 0
    else { return try read(path) }
    let mapped = try MappedFile(path)
    guard mapped.count >= start + shape.count * facts.width, let base = mapped.base else {
      throw FileError(path, "became shorter while it was read")
    }
    return Tensor(borrowing: base + start, shape, facts.dtype, of: mapped)
  }

  /// The array that comes out of a stream; `size` is that of all its bytes, where it is known.
  static func read(_ stream: any ByteStream, size: Int?, while goesOn: () throws -> Void = {}) throws -> Tensor {
    let path = stream.path
    let (header, start) = try self.header(stream)
    let facts = try header.facts(path: path)
    let shape = try self.shape(header, facts, path, bytes: size.map { $0 - start })
    // The last dimension first, and turned around afterwards.
    let lying = header.isColumnMajor ? try Shape(shape.array.reversed()) : shape
    let tensor = try Tensor(uninitialized: lying, facts.dtype)
    let bytes = UnsafeMutableRawBufferPointer(start: tensor.data, count: lying.count * facts.width)
    askForLargePages(bytes)
    // In parts, so that who waits for it can give up.
    for part in stride(from: 0, to: bytes.count, by: 1 << 24) {
      try goesOn()
      let target = UnsafeMutableRawBufferPointer(rebasing: bytes[part..<min(bytes.count, part + 1 << 24)])
      let count = try stream.read(into: target)
      guard count == target.count else {
        throw FileError(
          path, "ends at byte \(start + part + count), but \(bytes.count) bytes of elements were to come from byte \(start) on")
      }
    }
    if size == nil {
      // The checksum of an archive's member comes with its last byte, which an empty array asks for here.
      let rest = try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { try stream.read(into: $0) }
      guard rest == 0 else { throw FileError(path, "goes on after the last element") }
    }
    arrange(bytes, facts)
    guard header.isColumnMajor, shape.rank > 1 else { return tensor }
    return try withNoGrad { try tensor.permute(Array((0..<shape.rank).reversed())).contiguous().detach() }
  }

  /// New memory comes in pages of 4 KB, which the system clears one by one while a file is read into them: most of the time that
  /// reading takes. Pages of 2 MB, where the system has them for those who ask, take a fifth of it.
  private static func askForLargePages(_ bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress, bytes.count >= 8 << 20 else { return }
    let page = 4096
    let start = (Int(bitPattern: base) + page - 1) / page * page
    madvise(UnsafeMutableRawPointer(bitPattern: start), (Int(bitPattern: base) + bytes.count - start) / page * page, MADV_HUGEPAGE)
  }

  /// The description, and where the elements begin.
  private static func header(_ stream: any ByteStream) throws -> (NumPyHeader, start: Int) {
    let path = stream.path
    let head = try stream.take(8, "the head of a .npy file")
    guard head.starts(with: NumPyHeader.magic) else { throw FileError(path, "is no .npy file: it does not begin with \\x93NUMPY") }
    guard 1...3 ~= head[6] else { throw FileError(path, "byte 6: version \(head[6]).\(head[7]) of .npy files; 1 to 3 are read") }
    let lengthSize = head[6] == 1 ? 2 : 4
    let length = try stream.take(lengthSize, "the head of a .npy file").reversed().reduce(0) { $0 << 8 | Int($1) }
    // A shape takes few bytes; what is longer lists the fields of structured elements.
    guard length <= 1 << 16 else { throw FileError(path, "byte 8: the description of the array has \(length) bytes; up to 65536 are read") }
    let text = try stream.take(length, "the description of the array")
    return (try NumPyHeader(text, path: path, at: 8 + lengthSize), 8 + lengthSize + length)
  }

  /// The shape, of which the file must have the bytes.
  private static func shape(_ header: NumPyHeader, _ facts: NumPyHeader.Elements, _ path: String, bytes: Int?) throws -> Shape {
    let shape = try Shape(header.shape, operation: "load_npy")
    guard shape.count < Shape.unaddressable / 16 else { throw FileError(path, "an array of shape \(shape) is larger than any memory") }
    let wanted = shape.count * facts.width
    if let bytes, bytes != wanted {
      throw FileError(
        path, "an array of shape \(shape) with elements '\(header.elements)' has \(wanted) bytes, and the file has \(bytes) for it")
    }
    return shape
  }

  /// Turns elements into those of the dtype, where they lie. `bytes` are the file's, at the beginning of the tensor's.
  private static func arrange(_ bytes: UnsafeMutableRawBufferPointer, _ facts: NumPyHeader.Elements) {
    guard let base = bytes.baseAddress else { return }
    let count = bytes.count / facts.width
    if facts.isBigEndian { turnAround(bytes, width: facts.width) }
    // From the end on, since the wider ones lie over those behind.
    if facts.isUnsigned, facts.width == 2 {
      for position in (0..<count).reversed() {
        let value = base.load(fromByteOffset: 2 * position, as: UInt16.self)
        base.storeBytes(of: Int32(value), toByteOffset: 4 * position, as: Int32.self)
      }
    } else if facts.isUnsigned {
      for position in (0..<count).reversed() {
        let value = base.load(fromByteOffset: 4 * position, as: UInt32.self)
        base.storeBytes(of: Int64(value), toByteOffset: 8 * position, as: Int64.self)
      }
    } else if facts.dtype == .bool {
      for position in 0..<count where bytes[position] > 1 { bytes[position] = 1 }
    }
  }
}
