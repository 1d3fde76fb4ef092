// The format of `.safetensors`: eight bytes that say how long the header is, the header, which is JSON, and the elements.
// Format: https://github.com/huggingface/safetensors#format

import Tensors

/// What the files of the format have in common: how dtypes are called, and which are written first.
enum Safetensors {
  /// The reference implementation reads no longer headers.
  static let longestHeader = 100_000_000

  /// The format's names of the dtypes that there are here. The reference implementation writes tensors in this order, which is
  /// that of their sizes, so that each lies where its elements can be read in place; of one dtype, by name.
  static let dtypes: [(name: String, dtype: DType)] = [
    ("I64", .int64), ("F64", .float64), ("F32", .float32), ("I32", .int32), ("BF16", .bfloat16), ("F16", .float16), ("I16", .int16),
    ("I8", .int8), ("U8", .uint8), ("BOOL", .bool),
  ]

  /// A dtype's name and its place in the order.
  static func place(of dtype: DType) -> (name: String, order: Int) {
    let order = dtypes.firstIndex { $0.dtype == dtype }!
    return (dtypes[order].name, order)
  }

  /// The name under which a header keeps texts beside the tensors.
  static let metadataName = "__metadata__"
}

// MARK: Writing

extension SafetensorsFile {
  /// Writes tensors by name to a file that every reader of the format takes, byte by byte as the reference implementation writes it.
  ///
  /// What stood at `path` is replaced when the whole file is written. A file keeps elements only: views become packed, and tensors
  /// that share elements are each written. Throws for a name that comes twice.
  public static func write(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [(name: String, text: String)] = [], to path: String, isSynced: Bool = true
  ) throws {
    try written(tensors, metadata: metadata, to: path, isSynced: isSynced).finish()
  }

  /// The same, up to its taking its place.
  static func written(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [(name: String, text: String)], to path: String, isSynced: Bool
  ) throws -> OutputFile {
    let sorted = try sorted(tensors, path)
    let file = try OutputFile(path, isSynced: isSynced)
    try file.write(header(sorted, metadata, path))
    for (_, tensor) in sorted {
      let packed = try tensor.packed()
      try withExtendedLifetime(packed) {
        try file.write(UnsafeRawBufferPointer(start: packed.data, count: packed.count * packed.dtype.size))
      }
    }
    return file
  }

  private static func sorted(_ tensors: [(name: String, tensor: Tensor)], _ path: String) throws -> [(name: String, tensor: Tensor)] {
    var names = Set<String>()
    for (name, _) in tensors {
      guard name != Safetensors.metadataName else { throw FileError(path, "no tensor can be called \(name)") }
      guard names.insert(name).inserted else { throw FileError(path, "two tensors are called \"\(name)\"") }
    }
    return tensors.map { (Safetensors.place(of: $0.tensor.dtype).order, Array($0.name.utf8), $0) }
      .sorted { $0.0 != $1.0 ? $0.0 < $1.0 : $0.1.lexicographicallyPrecedes($1.1) }.map(\.2)
  }

  private static func header(
    _ tensors: [(name: String, tensor: Tensor)], _ metadata: [(name: String, text: String)], _ path: String
  ) throws -> [UInt8] {
    var members: [JSON.Member] = []
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.name < $1.name }.map { JSON.Member($0.name, .string($0.text)) }
      members.append(JSON.Member(Safetensors.metadataName, .object(texts)))
    }
    var end = 0
    for (name, tensor) in tensors {
      let start = end
      end += tensor.count * tensor.dtype.size
      members.append(
        JSON.Member(
          name,
          .object([
            JSON.Member("dtype", .string(Safetensors.place(of: tensor.dtype).name)),
            JSON.Member("shape", .array(tensor.shape.array.map(JSON.integer))),
            JSON.Member("data_offsets", .array([.integer(start), .integer(end)])),
          ])))
    }
    var text = Array(JSON.object(members).description.utf8)
    text += Array(repeating: UInt8(ascii: " "), count: -text.count & 7)
    guard text.count <= Safetensors.longestHeader else {
      throw FileError(path, "the header would have \(text.count) bytes, more than the \(Safetensors.longestHeader) that readers take")
    }
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }
}
