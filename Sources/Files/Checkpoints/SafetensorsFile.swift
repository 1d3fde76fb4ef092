// Reading `.safetensors`. The header is looked through when the file is opened; elements are read when they are asked for.

import Tensors

/// A file of tensors by name, open for reading.
///
/// Nothing in it is trusted: lengths are compared with the file's size before anything is allocated for them, and the tensors must
/// fill the file without gaps and overlaps.
public final class SafetensorsFile {
  /// What the header says of a tensor.
  public struct Entry: Sendable {
    /// Its name in the file.
    public let name: String
    /// Its dtype.
    public let dtype: DType
    /// Its sizes.
    public let shape: Shape
    /// Where its first byte is in the file, and how many there are.
    let offset, byteCount: Int
  }

  /// The path that it was opened by.
  public let path: String
  /// The tensors, in the order of their elements in the file.
  public let entries: [Entry]
  /// The texts beside the tensors, in the file's order.
  public let metadata: [(name: String, text: String)]
  private let file: InputFile
  /// The file in memory, where that was asked for.
  private let mapped: MappedFile?
  private let places: [String: Int]

  /// Opens a file and reads its header. Throws where anything in it is wrong.
  ///
  /// Where `isMapped`, tensors show the file's bytes, which are read when they are looked at; writes to them stay in memory. That is for
  /// files that nobody shortens meanwhile, see ``MappedFile``.
  public init(_ path: String, isMapped: Bool = false) throws {
    self.path = path
    mapped = isMapped ? try MappedFile(path) : nil
    file = try InputFile(path)
    guard let size = file.size else { throw FileError(path, "is no regular file, and only those can be read by parts") }
    guard size >= 8 else {
      throw FileError(path, "has \(size) bytes, and a .safetensors file begins with the 8 bytes of its header's length")
    }
    let announced = try file.bytes(at: 0, count: 8)
    let length = announced.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(Safetensors.longestHeader), length <= UInt64(size - 8) else {
      let most = min(Safetensors.longestHeader, size - 8)
      throw FileError(
        path, "byte 0: a header of \(length) bytes is announced, and at most \(most) are possible; is it a .safetensors file?")
    }
    let header = try file.bytes(at: 8, count: Int(length))
    guard header.first == UInt8(ascii: "{") else { throw FileError(path, "byte 8: the header does not begin with '{'") }
    let reader = HeaderReader(path: path, start: 8 + Int(length), size: size)
    let json = try header.withUnsafeBytes { bytes in
      do { return try JSON(bytes) } catch let error as FileError { throw FileError(path, "the header, \(error.problem)") }
    }
    (entries, metadata) = try reader.contents(json)
    places = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.name, $0) })
  }

  /// What the header says of a tensor; nil where none has the name.
  public func entry(named name: String) -> Entry? { places[name].map { entries[$0] } }

  /// Reads a tensor. Throws where none has the name.
  public func tensor(named name: String) throws -> Tensor {
    guard let entry = entry(named: name) else { throw FileError(path, "there is no tensor \"\(name)\"") }
    return try tensor(entry)
  }

  /// Reads a tensor of this file.
  public func tensor(_ entry: Entry) throws -> Tensor {
    if let mapped, entry.offset % entry.dtype.size == 0, entry.byteCount > 0, mapped.count >= entry.offset + entry.byteCount {
      let tensor = Tensor(borrowing: mapped.base! + entry.offset, entry.shape, entry.dtype, of: mapped)
      try checkTruth(of: tensor, entry)
      return tensor
    }
    // Elements of a mapped file that lie where they cannot be read in place are copied too.
    let tensor = try Tensor(uninitialized: entry.shape, entry.dtype)
    let target = UnsafeMutableRawBufferPointer(start: tensor.data, count: entry.byteCount)
    let count = try file.read(at: entry.offset, into: target)
    guard count == entry.byteCount else {
      throw FileError(path, "ends at byte \(entry.offset + count), within the tensor \"\(entry.name)\"")
    }
    try checkTruth(of: tensor, entry)
    return tensor
  }

  private func checkTruth(of tensor: Tensor, _ entry: Entry) throws {
    try requireTruth(of: tensor, UnsafeRawBufferPointer(start: tensor.data, count: entry.byteCount)) {
      FileError(path, "byte \(entry.offset + $0): the tensor \"\(entry.name)\" of booleans has the byte \($1), neither 0 nor 1")
    }
  }

  /// All tensors by name, in the file's order.
  public func tensors() throws -> [(name: String, tensor: Tensor)] { try entries.map { ($0.name, try tensor($0)) } }
}

/// Throws unless the bytes of a tensor of booleans are 0 and 1, which kernels rely on; `failure` is given a place and its byte.
func requireTruth(of tensor: Tensor, _ bytes: UnsafeRawBufferPointer, _ failure: (Int, UInt8) -> FileError) throws {
  guard tensor.dtype == .bool, let place = bytes.firstIndex(where: { $0 > 1 }) else { return }
  throw failure(place, bytes[place])
}

/// Looks through what a header says.
private struct HeaderReader {
  let path: String
  /// Where the elements begin, and where the file ends.
  let start, size: Int

  func contents(_ header: JSON) throws -> ([SafetensorsFile.Entry], [(name: String, text: String)]) {
    guard case .object(let members) = header else { throw FileError(path, "the header is not an object but \(header.kindName)") }
    var metadata: [(name: String, text: String)] = []
    var entries: [SafetensorsFile.Entry] = []
    for member in members {
      if member.name == Safetensors.metadataName {
        guard case .object(let texts) = member.value else {
          throw FileError(path, "\(member.name) is not an object of texts but \(member.value.kindName)")
        }
        metadata = try texts.map { text in
          guard case .string(let value) = text.value else {
            throw FileError(path, "\(member.name): \"\(text.name)\" is not a string but \(text.value.kindName)")
          }
          return (text.name, value)
        }
      } else {
        entries.append(try entry(member))
      }
    }
    // Names may come in any order; the elements must not.
    entries.sort { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
    var end = start
    for entry in entries {
      guard entry.offset == end else {
        let problem = entry.offset < end ? "overlap with those of another" : "leave a gap of \(entry.offset - end) bytes before them"
        throw FileError(path, "the elements of \"\(entry.name)\", from byte \(entry.offset) on, \(problem)")
      }
      end += entry.byteCount
    }
    guard end == size else { throw FileError(path, "byte \(end): the tensors end here, and \(size - end) bytes follow") }
    return (entries, metadata)
  }

  private func entry(_ member: JSON.Member) throws -> SafetensorsFile.Entry {
    func failure(_ problem: String) -> FileError { FileError(path, "the tensor \"\(member.name)\" \(problem)") }
    guard case .object(let fields) = member.value else { throw failure("is not described by an object but \(member.value.kindName)") }
    for field in fields where !["dtype", "shape", "data_offsets"].contains(field.name) {
      throw failure("has an unknown field \"\(field.name)\"")
    }
    guard case .string(let typeName)? = member.value["dtype"] else { throw failure("has no dtype") }
    guard let dtype = Safetensors.dtypes.first(where: { $0.name == typeName })?.dtype else {
      let known = Safetensors.dtypes.map(\.name).joined(separator: ", ")
      throw failure("has elements of \(typeName), which there are none of here; there are \(known)")
    }
    guard case .array(let sizes)? = member.value["shape"] else { throw failure("has no shape") }
    let shape: Shape
    do { shape = try Shape(try sizes.map { try count($0) }) } catch let error as TensorError {
      throw failure("has an impossible shape: \(error)")
    } catch is NoCount { throw failure("has a shape that does not consist of counts") }
    guard case .array(let offsets)? = member.value["data_offsets"], offsets.count == 2, case .integer(let first) = offsets[0],
      case .integer(let last) = offsets[1]
    else { throw failure("has no data_offsets of two whole numbers") }
    guard first >= 0, first <= last, last <= size - start else {
      throw failure("has data_offsets [\(first), \(last)], which are no part of the \(size - start) bytes after the header")
    }
    // Shapes of so many elements that this overflows do not exist.
    guard shape.count * dtype.size == last - first else {
      throw failure("of shape \(shape) and \(typeName) takes \(shape.count * dtype.size) bytes, but has \(last - first)")
    }
    return SafetensorsFile.Entry(name: member.name, dtype: dtype, shape: shape, offset: start + first, byteCount: last - first)
  }

  private struct NoCount: Error {}

  private func count(_ value: JSON) throws -> Int {
    guard case .integer(let count) = value, count >= 0 else { throw NoCount() }
    return count
  }
}
