// A reader of pickles that knows values, and no programs: containers, numbers, strings, and what PyTorch makes tensors with.
// Instructions: Lib/pickletools.py of Python.

import Tensors

/// What is on the stack of a pickle's machine.
enum PickleItem {
  case none, mark
  case boolean(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case bytes([UInt8])
  case tuple(PickleList)
  case list(PickleList)
  case dictionary(PickleDictionary)
  /// The name of a function or class: only a name.
  case global(module: String, name: String)
  case storage(Tensor)
  case tensor(Tensor)

  /// Those of a tuple or list of whole numbers.
  var integers: [Int]? {
    let items: [PickleItem]
    switch self {
    case .tuple(let list), .list(let list): items = list.items
    default: return nil
    }
    let integers = items.compactMap { if case .integer(let integer) = $0 { integer } else { nil } }
    return integers.count == items.count ? integers : nil
  }
}

final class PickleList {
  var items: [PickleItem]
  init(_ items: [PickleItem] = []) { self.items = items }
}

final class PickleDictionary {
  var entries: [(key: PickleItem, value: PickleItem)] = []
}

/// Reads one pickle.
final class PickleReader {
  private var reader: ByteReader
  private let path: String
  private let tensors: TorchTensors
  private var stack: [PickleItem] = []
  private var memo: [Int: PickleItem] = [:]
  /// How many bytes strings were made bytes of.
  private var encoded = 0
  // All containers: each is emptied at the end, so that none lets go of a long chain of others.
  private var lists: [PickleList] = []
  private var dictionaries: [PickleDictionary] = []

  init(_ bytes: UnsafeRawBufferPointer, path: String, tensors: TorchTensors) {
    reader = ByteReader(bytes, path: path)
    self.path = path
    self.tensors = tensors
  }

  /// To be called when it is not needed any more.
  func finish() {
    for list in lists { list.items = [] }
    for dictionary in dictionaries { dictionary.entries = [] }
  }

  /// The value of the whole pickle.
  func value() throws -> Checkpoint.Value {
    while true {
      let place = reader.position
      do {
        if try step() { break }
      } catch let refusal as Refusal {
        throw FileError(path, "data.pkl, byte \(place): \(refusal.what)")
      } catch let error as TensorError {
        throw FileError(path, "data.pkl, byte \(place): \(error)")
      } catch let error as FileError where error.problem.hasPrefix("byte ") {
        throw FileError(path, "data.pkl, \(error.problem)")
      }
    }
    guard stack.count == 1 else { throw FileError(path, "data.pkl ends with \(stack.count) values, not one") }
    var converter = PickleConverter(path: path)
    return try converter.value(stack[0], at: "", depth: 0)
  }

  // MARK: The machine

  private func push(_ item: PickleItem) { stack.append(item) }

  private func pop() throws -> PickleItem {
    guard let item = stack.popLast() else { throw Refusal("a value is taken from an empty stack") }
    if case .mark = item { throw Refusal("a mark stands where a value was expected") }
    return item
  }

  /// What is on top, without taking it.
  private func top() throws -> PickleItem {
    guard let item = stack.last else { throw Refusal("a value is taken from an empty stack") }
    if case .mark = item { throw Refusal("a mark stands where a value was expected") }
    return item
  }

  /// The values above the last mark.
  private func popToMark() throws -> [PickleItem] {
    guard let mark = stack.lastIndex(where: { if case .mark = $0 { true } else { false } }) else { throw Refusal("there is no mark") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[(mark + 1)...])
  }

  private func newList(_ items: [PickleItem] = []) -> PickleList {
    let list = PickleList(items)
    lists.append(list)
    return list
  }

  private func newDictionary(_ pairs: [PickleItem] = []) throws -> PickleDictionary {
    let dictionary = PickleDictionary()
    dictionaries.append(dictionary)
    try put(pairs, in: dictionary)
    return dictionary
  }

  private func put(_ pairs: [PickleItem], in dictionary: PickleDictionary) throws {
    guard pairs.count % 2 == 0 else { throw Refusal("a key without a value") }
    for place in stride(from: 0, to: pairs.count, by: 2) { dictionary.entries.append((pairs[place], pairs[place + 1])) }
  }

  private func recall(_ number: Int) throws {
    guard let item = memo[number] else { throw Refusal("value \(number) is recalled, which was not kept") }
    push(item)
  }

  private func line() throws -> String {
    var bytes: [UInt8] = []
    while true {
      let byte: UInt8 = try reader.littleEndian()
      if byte == UInt8(ascii: "\n") { break }
      bytes.append(byte)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw Refusal("a name that is no UTF-8") }
    return text
  }

  /// Executes one instruction; true at the end.
  private func step() throws -> Bool {
    let code: UInt8 = try reader.littleEndian()
    func length(_ count: some FixedWidthInteger) throws -> Int {
      guard let count = Int(exactly: count), count >= 0, count <= reader.left else {
        throw Refusal("\(count) bytes are announced, and \(reader.left) are left")
      }
      return count
    }
    switch Character(UnicodeScalar(code)) {
    case "\u{80}":
      let version: UInt8 = try reader.littleEndian()
      guard version <= 5 else { throw Refusal("version \(version) of pickles is not known") }
    case "\u{95}": _ = try reader.take(8)
    case ".": return true
    case "(": push(.mark)
    case "0": _ = try pop()
    case "1": _ = try popToMark()
    case "N": push(.none)
    case "\u{88}": push(.boolean(true))
    case "\u{89}": push(.boolean(false))
    case "J": push(.integer(Int(try reader.littleEndian(Int32.self))))
    case "K": push(.integer(Int(try reader.littleEndian(UInt8.self))))
    case "M": push(.integer(Int(try reader.littleEndian(UInt16.self))))
    case "\u{8a}": push(.integer(try whole(Int(try reader.littleEndian(UInt8.self)))))
    case "\u{8b}": push(.integer(try whole(try length(try reader.littleEndian(Int32.self)))))
    case "G": push(.number(Double(bitPattern: try reader.bigEndian())))
    case "\u{8c}": push(.text(try reader.text(try length(try reader.littleEndian(UInt8.self)))))
    case "X": push(.text(try reader.text(try length(try reader.littleEndian(UInt32.self)))))
    case "\u{8d}": push(.text(try reader.text(try length(try reader.littleEndian(UInt64.self)))))
    case "C": push(.bytes(Array(try reader.take(try length(try reader.littleEndian(UInt8.self))))))
    case "B": push(.bytes(Array(try reader.take(try length(try reader.littleEndian(UInt32.self))))))
    case "\u{8e}": push(.bytes(Array(try reader.take(try length(try reader.littleEndian(UInt64.self))))))
    case ")": push(.tuple(newList()))
    case "t": push(.tuple(newList(try popToMark())))
    case "\u{85}", "\u{86}", "\u{87}":
      let count = Int(code) - 0x84
      let items = try (0..<count).map { _ in try pop() }
      push(.tuple(newList(items.reversed())))
    case "]": push(.list(newList()))
    case "l": push(.list(newList(try popToMark())))
    case "a": try append([try pop()])
    case "e": try append(try popToMark())
    case "}": push(.dictionary(try newDictionary()))
    case "d": push(.dictionary(try newDictionary(try popToMark())))
    case "s":
      let value = try pop()
      try set([try pop(), value])
    case "u": try set(try popToMark())
    case "q": memo[Int(try reader.littleEndian(UInt8.self))] = try top()
    case "r": memo[Int(try reader.littleEndian(UInt32.self))] = try top()
    case "\u{94}": memo[memo.count] = try top()
    case "h": try recall(Int(try reader.littleEndian(UInt8.self)))
    case "j": try recall(Int(try reader.littleEndian(UInt32.self)))
    case "c":
      let module = try line()
      push(.global(module: module, name: try line()))
    case "\u{93}":
      guard case .text(let name) = try pop(), case .text(let module) = try pop() else { throw Refusal("a name that is no string") }
      push(.global(module: module, name: name))
    case "Q": push(.storage(try tensors.storage(try pop())))
    case "R":
      guard case .tuple(let arguments) = try pop() else { throw Refusal("arguments that are no tuple") }
      push(try result(of: try pop(), arguments.items))
    case "b":
      // Attributes that a dictionary was given, such as the versions of modules, say nothing about its values.
      _ = try pop()
      guard case .dictionary = try top() else { throw Refusal("attributes are given to what has none") }
    case "\u{81}":
      // NEWOBJ: an object of a class.
      _ = try pop()
      guard case .global(let module, let name) = try pop() else { throw Refusal("an object of what is no class") }
      throw PickleReader.refusal(module, name)
    default:
      let name = PickleReader.refused[code].map { " (\($0))" } ?? ""
      throw Refusal("the instruction \(code)\(name) is not one of those that values are written with; nothing was executed")
    }
    return false
  }

  private static func refusal(_ module: String, _ name: String) -> Refusal {
    Refusal(
      "\(module.prefix(80)).\(name.prefix(80)) makes what is no tensor and no plain container; nothing was executed; "
        + "save a state_dict() in PyTorch, which is made of such")
  }

  private static let refused: [UInt8: String] = [
    0x92: "NEWOBJ_EX", 0x69: "INST", 0x6f: "OBJ", 0x50: "PERSID", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x8f: "EMPTY_SET",
    0x90: "ADDITEMS", 0x91: "FROZENSET", 0x32: "DUP", 0x49: "INT", 0x4c: "LONG", 0x46: "FLOAT", 0x53: "STRING", 0x54: "BINSTRING",
    0x55: "SHORT_BINSTRING", 0x56: "UNICODE", 0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER", 0x67: "GET", 0x70: "PUT",
  ]

  /// A whole number of that many bytes.
  private func whole(_ count: Int) throws -> Int {
    guard count <= 8 else { throw Refusal("a whole number of \(count) bytes, where 8 can be") }
    var value: UInt64 = 0
    let bytes = try reader.take(count)
    for (place, byte) in bytes.enumerated() { value |= UInt64(byte) << (8 * place) }
    if let last = bytes.last, last & 0x80 != 0, count < 8 { value |= ~0 << (8 * count) }
    return Int(bitPattern: UInt(value))
  }

  private func append(_ items: [PickleItem]) throws {
    guard case .list(let list) = try top() else { throw Refusal("values are added to what is no list") }
    list.items += items
  }

  private func set(_ pairs: [PickleItem]) throws {
    guard case .dictionary(let dictionary) = try top() else { throw Refusal("values are put into what is no dictionary") }
    try put(pairs, in: dictionary)
  }

  /// What a call gives, of the few functions that are known.
  private func result(of function: PickleItem, _ arguments: [PickleItem]) throws -> PickleItem {
    guard case .global(let module, let name) = function else { throw Refusal("a call of what is no function") }
    switch (module, name) {
    case ("torch._utils", "_rebuild_tensor_v2"): return .tensor(try tensors.view(arguments))
    case ("torch._utils", "_rebuild_parameter"): return .tensor(try tensors.parameter(arguments))
    case ("torch", "Size"):
      guard arguments.count == 1, arguments[0].integers != nil else { throw Refusal("a torch.Size of what is none") }
      return arguments[0]
    case ("torch", "device"):
      guard case .text(let type)? = arguments.first, type.utf8.count <= 40 else { throw Refusal("a torch.device of what is none") }
      if arguments.count == 2, case .integer(let number) = arguments[1] { return .text("\(type):\(number)") }
      return .text(type)
    case ("_codecs", "encode"):
      // Bytes, as older versions write them: a string of a character for each.
      guard arguments.count == 2, case .text(let text) = arguments[0], case .text("latin1") = arguments[1] else {
        throw Refusal("bytes in an encoding that is not known")
      }
      // Each text that is written once is used once, so that they are no longer together than the pickle.
      encoded += text.utf8.count
      guard encoded <= reader.bytes.count else { throw Refusal("bytes of the same text again and again") }
      let bytes = text.unicodeScalars.compactMap { UInt8(exactly: $0.value) }
      guard bytes.count == text.unicodeScalars.count else { throw Refusal("bytes that are none") }
      return .bytes(bytes)
    case ("collections", "OrderedDict"), ("collections", "Counter"), ("collections", "defaultdict"):
      // The dictionary itself, not a copy: a few bytes that ask for a copy could come a thousand times.
      if case .dictionary(let known)? = arguments.last { return .dictionary(known) }
      guard arguments.isEmpty || name == "defaultdict" && arguments.count == 1 else {
        throw Refusal("a collections.\(name) of what is none")
      }
      return .dictionary(try newDictionary())
    default:
      throw PickleReader.refusal(module, name)
    }
  }
}

/// Makes tables of what was read; what stood in it twice becomes one table.
private struct PickleConverter {
  let path: String
  private var known: [ObjectIdentifier: Checkpoint.Table] = [:]
  private var open = Set<ObjectIdentifier>()

  init(path: String) { self.path = path }

  private func failure(_ place: String, _ problem: String) -> FileError {
    FileError(path, "data.pkl: \(place.isEmpty ? "the value" : place) \(problem)")
  }

  mutating func value(_ item: PickleItem, at place: String, depth: Int) throws -> Checkpoint.Value {
    switch item {
    case .none: return .none
    case .boolean(let flag): return .boolean(flag)
    case .integer(let integer): return .integer(integer)
    case .number(let number): return .number(number)
    case .text(let text): return .text(text)
    case .bytes(let bytes): return String(validating: bytes, as: UTF8.self).map(Checkpoint.Value.text) ?? .bytes(bytes)
    case .tensor(let tensor): return .tensor(tensor)
    case .tuple(let list), .list(let list):
      return try table(list, at: place, depth: depth) { converter, table in
        for (position, item) in list.items.enumerated() {
          let key = Checkpoint.Key.integer(position + 1)
          table[key] = try converter.value(item, at: key.path(in: place), depth: depth + 1)
        }
      }
    case .dictionary(let dictionary):
      return try table(dictionary, at: place, depth: depth) { converter, table in
        for (key, item) in dictionary.entries {
          let key = try converter.key(key, at: place)
          table[key] = try converter.value(item, at: key.path(in: place), depth: depth + 1)
        }
      }
    case .global("torch", let name) where (try? DType(named: name)) != nil: return .text(name)
    case .global(let module, let name):
      throw failure(place, "is \(module.prefix(80)).\(name.prefix(80)), a class or function, which is not looked for")
    case .storage: throw failure(place, "is a storage without a tensor")
    case .mark: throw failure(place, "is missing")
    }
  }

  private mutating func table(
    _ container: AnyObject, at place: String, depth: Int, _ fill: (inout PickleConverter, Checkpoint.Table) throws -> Void
  ) throws -> Checkpoint.Value {
    let identity = ObjectIdentifier(container)
    if let table = known[identity] { return .table(table) }
    guard depth < Checkpoint.deepest else { throw failure(place, "is nested more than \(Checkpoint.deepest) deep") }
    guard open.insert(identity).inserted else { throw failure(place, "holds itself") }
    let table = Checkpoint.Table()
    try fill(&self, table)
    open.remove(identity)
    known[identity] = table
    return .table(table)
  }

  private func key(_ item: PickleItem, at place: String) throws -> Checkpoint.Key {
    switch item {
    case .boolean(let flag): return .boolean(flag)
    case .integer(let integer): return .integer(integer)
    case .number(let number) where !number.isNaN: return Int(exactly: number).map(Checkpoint.Key.integer) ?? .number(number)
    case .text(let text): return .text(text)
    case .bytes(let bytes): return String(validating: bytes, as: UTF8.self).map(Checkpoint.Key.text) ?? .bytes(bytes)
    default: throw failure(place, "has a key that is no number, string or flag")
    }
  }
}
