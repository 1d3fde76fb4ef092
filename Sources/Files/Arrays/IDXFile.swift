// IDX, the format of the MNIST data sets: a head that says the type and the sizes, and the elements, the byte of most weight first.
// Format: http://yann.lecun.com/exdb/mnist/ (at the end of the page)

import Tensors

/// Arrays in the format of the MNIST data sets.
public enum IDXFile {
  /// The array in a file, gzipped or not. Nothing is allocated for sizes that the file does not have, as far as they can be known
  /// before it is unpacked.
  public static func read(_ path: String, while goesOn: () throws -> Void = {}) throws -> Tensor {
    let stream = try openStream(path)
    let head = try stream.take(4, "the head of an IDX file")
    guard head[0] == 0, head[1] == 0 else { throw FileError(path, "is no IDX file: its first two bytes are not 0") }
    let types: [UInt8: DType] = [8: .uint8, 9: .int8, 11: .int16, 12: .int32, 13: .float32, 14: .float64]
    guard let dtype = types[head[2]] else { throw FileError(path, "byte 2: there is no type of elements \(head[2]) in IDX files") }
    let sizes = try (0..<Int(head[3])).map { _ in try stream.take(4, "the sizes of the array").reduce(0) { $0 << 8 | Int($1) } }
    let shape = try Shape(sizes, operation: "read_idx")
    let start = 4 + 4 * sizes.count
    guard shape.count < Shape.unaddressable / 8 else { throw FileError(path, "an array of shape \(shape) is larger than any memory") }
    let wanted = shape.count * dtype.size
    guard wanted <= stream.most.map({ $0 - start }) ?? wanted else {
      throw FileError(path, "an array of shape \(shape) and \(dtype) has \(wanted) bytes, more than the file can have")
    }
    let tensor = try Tensor(uninitialized: shape, dtype)
    let bytes = UnsafeMutableRawBufferPointer(start: tensor.data, count: wanted)
    for part in stride(from: 0, to: wanted, by: 1 << 24) {
      try goesOn()
      let target = UnsafeMutableRawBufferPointer(rebasing: bytes[part..<min(wanted, part + 1 << 24)])
      let count = try stream.read(into: target)
      guard count == target.count else {
        throw FileError(path, "ends after \(part + count) of the \(wanted) bytes of an array of shape \(shape)")
      }
    }
    let rest = try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { try stream.read(into: $0) }
    guard rest == 0 else { throw FileError(path, "goes on after the \(wanted) bytes of an array of shape \(shape)") }
    turnAround(bytes, width: dtype.size)
    return tensor
  }
}

/// Turns the bytes of every element around.
func turnAround(_ bytes: UnsafeMutableRawBufferPointer, width: Int) {
  guard let base = bytes.baseAddress else { return }
  func turn<T: FixedWidthInteger>(_: T.Type) {
    let elements = base.assumingMemoryBound(to: T.self)
    for position in 0..<bytes.count / width { elements[position] = elements[position].byteSwapped }
  }
  switch width {
  case 2: turn(UInt16.self)
  case 4: turn(UInt32.self)
  case 8: turn(UInt64.self)
  default: break
  }
}
