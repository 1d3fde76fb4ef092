// NumPy's file of one array, `.npy`: a line of text that describes the elements, and the elements.
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

import Tensors

/// An array in NumPy's file format: versions 1 to 3 are read, 1.0 is written.
public enum NumPyFile {
  /// The bytes of a file that `numpy.load` reads as an array of the tensor's shape and dtype, in row-major order.
  ///
  /// Throws for a tensor that requires grad: a file keeps no history, so `detach()` says that it is meant.
  public static func encoded(_ tensor: Tensor) throws -> [UInt8] {
    try withPieces(of: tensor) { head, elements in Array(head) + Array(elements) }
  }

  /// Gives `body` the bytes of such a file: the description, and the elements where they lie, of which large arrays need no copy.
  package static func withPieces<Result>(
    of tensor: Tensor, for operation: String = "save_npy",
    _ body: (_ head: UnsafeRawBufferPointer, _ elements: UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    guard !tensor.requiresGrad else {
      throw TensorError(
        .autograd, operation,
        "a tensor of shape \(tensor.shape) that requires grad cannot be exported, since a file keeps no history; detach() it first")
    }
    guard let type = tensor.dtype.numPyName else {
      throw TensorError(.dtype, operation, "NumPy has no elements of \(tensor.dtype); convert them, for instance with :float()")
    }
    let sizes = tensor.shape.array.map(String.init)
    let shape = sizes.count == 1 ? "(\(sizes[0]),)" : "(\(sizes.joined(separator: ", ")))"
    let description = "{'descr': '\(type)', 'fortran_order': False, 'shape': \(shape), }"

    // The elements begin at a multiple of 64 bytes: the description is filled with spaces and ends its line.
    let head = 10
    let padding = 64 - (head + description.utf8.count + 1) % 64
    let length = description.utf8.count + padding % 64 + 1
    var bytes = NumPyHeader.magic + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
    bytes += description.utf8
    bytes += Array(repeating: UInt8(ascii: " "), count: padding % 64)
    bytes.append(UInt8(ascii: "\n"))
    let packed = try tensor.packed()
    return try withExtendedLifetime(packed) {
      try bytes.withUnsafeBytes { try body($0, UnsafeRawBufferPointer(start: packed.data, count: packed.count * packed.dtype.size)) }
    }
  }
}
