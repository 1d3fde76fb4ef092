// PyTorch's own files: an archive of elements, and a pickle that says what they are parts of.

import Tensors

/// Files that `torch.save` wrote.
public enum TorchFile {
  /// Reads tensors, and dictionaries, lists, numbers and strings around them.
  ///
  /// A pickle is a program; this reads the few of its instructions that such values are written with, knows the few functions that
  /// make tensors, and refuses all else by name. Nothing is executed. Lists and tuples become tables that count from 1, `None` is
  /// nothing, dtypes and devices are strings.
  public static func load(_ path: String) throws -> Checkpoint.Value {
    let archive = try TorchArchive(path)
    guard archive["constants.pkl"] == nil else {
      throw FileError(path, "is a TorchScript program, which is not executed here; save the state_dict() in PyTorch")
    }
    if let member = archive["byteorder"] {
      let order = String(decoding: try archive.zip.contents(member), as: UTF8.self)
      guard order == "little" else {
        throw FileError(path, "byteorder: elements are stored in the order \"\(order.prefix(20))\", not \"little\"")
      }
    }
    guard let member = archive["data.pkl"] else { throw FileError(path, "has no data.pkl, as archives by torch.save do") }
    let pickle = try archive.zip.contents(member)
    return try pickle.withUnsafeBytes { bytes in
      let reader = PickleReader(bytes, path: path, tensors: TorchTensors(archive: archive))
      defer { reader.finish() }
      return try reader.value()
    }
  }
}

/// The archive: members by what stands behind the first `/` of their names, as in `data/0`; before it is the archive's own name.
struct TorchArchive {
  let zip: ZipArchive
  private var members: [String: ZipArchive.Member] = [:]

  init(_ path: String) throws {
    let start = try InputFile(path).bytes(upTo: 8)
    // What torch.save wrote before it wrote archives begins with a pickle of a number, 0x1950a86a20f9469cfc6c.
    if start == [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46] {
      throw FileError(path, "is of the format before PyTorch 1.6; load it in PyTorch and save it again")
    }
    guard start.starts(with: [0x50, 0x4b, 3, 4]) else {
      throw FileError(path, "byte 0: is no zip archive, which is what torch.save writes")
    }
    zip = try ZipArchive(path)
    for member in zip.members {
      // What is packed could be a thousand times as large as the file.
      guard !member.isPacked else { throw FileError(path, "its member '\(member.name)' is compressed, which torch.save does not do") }
      let parts = member.name.split(separator: "/", maxSplits: 1)
      guard parts.count == 2 else { throw FileError(path, "its member '\(member.name)' is in no folder, as those of torch.save are") }
      guard members.updateValue(member, forKey: String(parts[1])) == nil else {
        throw FileError(path, "has members called '\(parts[1])' in two folders")
      }
    }
  }

  subscript(name: String) -> ZipArchive.Member? { members[name] }
}

/// Makes tensors of what a pickle says about them.
final class TorchTensors {
  private let archive: TorchArchive
  /// The elements of each storage that was asked for, by its name in the archive.
  private var storages: [String: Tensor] = [:]

  init(archive: TorchArchive) { self.archive = archive }

  /// PyTorch's classes of storages.
  private static let dtypes: [String: DType] = [
    "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16, "LongStorage": .int64,
    "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8, "BoolStorage": .bool,
  ]

  /// The storage that a persistent identifier names, as `("storage", torch.FloatStorage, "0", "cpu", 12)`, and how many elements it has.
  func storage(_ identifier: PickleItem) throws -> Tensor {
    guard case .tuple(let tuple) = identifier, tuple.items.count == 5, case .text("storage") = tuple.items[0],
      case .global(let module, let type) = tuple.items[1], case .text(let key) = tuple.items[2], case .integer(let count) = tuple.items[4]
    else { throw Refusal("a persistent identifier that is no storage") }
    guard module == "torch", let dtype = Self.dtypes[type] else {
      throw Refusal("elements of \(module).\(type), which there are none of here")
    }
    if let known = storages[key] {
      guard known.dtype == dtype, known.count == count else { throw Refusal("the storage \(key) as two different ones") }
      return known
    }
    guard let member = archive["data/\(key)"] else { throw Refusal("the storage \(key), which the archive does not have") }
    // Before anything is allocated.
    guard count >= 0, member.size % dtype.size == 0, member.size / dtype.size == count else {
      throw Refusal("the storage \(key) of \(count) elements of \(dtype), which has \(member.size) bytes")
    }
    let tensor = try Tensor(uninitialized: Shape([count]), dtype)
    let target = UnsafeMutableRawBufferPointer(start: tensor.data, count: member.size)
    let stream = try archive.zip.stream(member)
    let path = archive.zip.path
    guard try stream.read(into: target) == member.size else { throw FileError(path, "ends within the storage \(key)") }
    try requireTruth(of: tensor, UnsafeRawBufferPointer(target)) {
      FileError(path, "byte \(member.offset + $0): the storage \(key) of booleans has the byte \($1), neither 0 nor 1")
    }
    storages[key] = tensor
    return tensor
  }

  /// What `torch._utils._rebuild_tensor_v2` makes: a view of a storage.
  func view(_ arguments: [PickleItem]) throws -> Tensor {
    guard arguments.count == 6 || arguments.count == 7, case .storage(let elements) = arguments[0],
      case .integer(let offset) = arguments[1],
      let sizes = arguments[2].integers, let strides = arguments[3].integers, case .boolean(let requiresGrad) = arguments[4]
    else { throw Refusal("arguments of _rebuild_tensor_v2 that are none") }
    let shape = try Shape(sizes)
    guard let layout = Layout(shape, strides: strides, offset: offset, within: elements.count) else {
      throw Refusal(
        "a tensor of shape \(shape) and strides \(strides) from \(offset) on, beyond the \(elements.count) elements of its storage")
    }
    let tensor = Tensor(storage: elements.storage, layout: layout, dtype: elements.dtype)
    if requiresGrad { try tensor.setRequiresGrad(true) }
    return tensor
  }

  /// What `torch._utils._rebuild_parameter` makes.
  func parameter(_ arguments: [PickleItem]) throws -> Tensor {
    guard arguments.count == 3, case .tensor(let tensor) = arguments[0], case .boolean(let requiresGrad) = arguments[1] else {
      throw Refusal("arguments of _rebuild_parameter that are none")
    }
    return try tensor.alias().markParameter(requiresGrad: requiresGrad)
  }
}

/// What a file asks for and does not get, to be completed by where it is.
struct Refusal: Error {
  let what: String
  init(_ what: String) { self.what = what }
}
