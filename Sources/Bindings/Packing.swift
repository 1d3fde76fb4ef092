// Plain values of scripts as lines of text: what a run of an experiment gives, on its way out of a process or into a file.
//
// The text is JSON, in which numbers come back bit by bit and whole numbers stay apart from others. What JSON has no way to write is an
// object of one member: { "bits": … } for a number that is not finite, { "bytes": … } for a string that is no UTF-8, { "pairs": … }
// for a table with other keys than names or 1, 2, ….

import Files
import LuaRuntime
import Tensors

enum Packing {
  /// Why a value cannot be packed, as a sentence's end.
  struct Problem: Error { let text: String }

  /// Tables nested deeper than this are refused, and so are those that hold themselves.
  private static let deepest = 50
  /// Tensors of more elements are refused.
  private static let mostElements = 1_000_000
  /// So are more values than these: a table that stands in several places has several texts.
  private static let most = 10_000_000
  private static let marks: Set<String> = ["bits", "bytes", "pairs"]

  static var primitives: [String: NativeFunction] {
    [
      // pack(value, isLenient): its text, or nil and what is wrong. Leniently, what has no text is only named by its kind.
      "pack": native("pack") { call in
        do {
          var packer = Packer(isLenient: call[2].isTruthy)
          call.returns(try packer.json(call[1], "").description)
        } catch let problem as Problem {
          call.returnsNil()
          call.returns(problem.text)
        }
      },
      // unpack(text): the value, or nothing where it is no such text.
      "unpack": native("unpack") { call in
        guard let value = try? call[1].withBytes({ try JSON($0) }).flatMap({ try value($0) }) else { return call.returnsNil() }
        call.returns(value)
      },
    ]
  }

  // MARK: Writing

  /// A value on its way into text.
  private struct Packer {
    /// Whether what has no text is named by its kind rather than refused.
    let isLenient: Bool
    /// The tables that the present one is in.
    var around: Set<UnsafeRawPointer> = []
    /// How many values there were.
    var count = 0

    mutating func json(_ slot: Slot, _ name: String) throws -> JSON {
      count += 1
      guard count <= most else { throw Problem(text: "\(name) is one of more than \(most) values") }
      switch slot.type {
      case .nil, .none: return .null
      case .boolean: return .boolean(slot.isTruthy)
      case .number: return slot.isInteger ? .integer(slot.integer ?? 0) : number(slot.number ?? .nan)
      case .string: return slot.withBytes { string($0) } ?? .null
      case .table: return try table(slot, name)
      default:
        guard let tensor = slot.object(tensorKind) else { return try refused(slot, "\(name) is \(kind(of: slot))") }
        guard tensor.count <= mostElements else {
          return try refused(slot, "\(name) is a tensor of \(tensor.count) elements, more than \(mostElements)")
        }
        return list(tensor, tensor.shape.array[...], 0).json
      }
    }

    private func refused(_ slot: Slot, _ problem: String) throws -> JSON {
      guard isLenient else { throw Problem(text: problem) }
      return .object([JSON.Member("unknown", .string(slot.typeName))])
    }

    private func kind(of slot: Slot) -> String { slot.type == .function ? "a function" : Decoder.found(slot) }

    private mutating func table(_ slot: Slot, _ name: String) throws -> JSON {
      guard let address = slot.address, around.count < deepest, around.insert(address).inserted else {
        return try refused(slot, "\(name) is nested more than \(deepest) deep, or holds itself")
      }
      defer { around.remove(address) }
      var list: [Int: JSON] = [:]
      var names: [JSON.Member] = []
      var others: [(key: JSON, value: JSON)] = []
      try slot.forEachPair(runsScripts: false) { key, value in
        // The outermost table has no name of its own.
        let part = key.string.map { name.isEmpty ? $0 : "\(name).\($0)" } ?? "\(name)[\(Decoder.found(key))]"
        let packed = try json(value, part)
        if key.isInteger, let position = key.integer {
          list[position] = packed
        } else if key.type == .string, case .string(let text) = try json(key, part) {
          names.append(JSON.Member(text, packed))
        } else {
          others.append((try json(key, "a key of \(name.isEmpty ? "the table" : name)"), packed))
        }
      }
      names.sort { $0.name < $1.name }
      if others.isEmpty, names.isEmpty, list.isEmpty || (list.keys.min() == 1 && list.keys.max() == list.count) {
        return .array(list.sorted { $0.key < $1.key }.map(\.value))
      }
      // Names that are written differently and are one to Unicode would be one to a reader.
      let areApart = Set(names.map(\.name)).count == names.count
      if others.isEmpty, list.isEmpty, areApart, names.count > 1 || !marks.contains(names[0].name) { return .object(names) }
      let keyed = list.sorted { $0.key < $1.key }.map { (key: JSON.integer($0.key), value: $0.value) }
      let named = names.map { (key: JSON.string($0.name), value: $0.value) }
      let rest = others.map { ($0.key, $0.value, $0.key.description) }.sorted { $0.2 < $1.2 }.map { (key: $0.0, value: $0.1) }
      return .object([JSON.Member("pairs", .array((keyed + named + rest).map { .array([$0.key, $0.value]) }))])
    }
  }

  private static func number(_ number: Double) -> JSON {
    if number.isFinite { return .number(number) }
    return .object([JSON.Member("bits", .string(String(number.bitPattern, radix: 16)))])
  }

  private static func string(_ bytes: UnsafeRawBufferPointer) -> JSON {
    if let text = String(validating: bytes, as: UTF8.self) { return .string(text) }
    let digits = bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    return .object([JSON.Member("bytes", .string(digits))])
  }

  /// A tensor as nested lists of its numbers; one of a single element is that number.
  private static func list(_ tensor: Tensor, _ sizes: ArraySlice<Int>, _ first: Int) -> (json: JSON, count: Int) {
    guard tensor.count != 1, let size = sizes.first else {
      let scalar = tensor.element(first)
      if tensor.dtype == .bool { return (.boolean(scalar.real != 0), 1) }
      return (tensor.dtype.isFloating ? number(scalar.real) : .integer(Int(scalar.integer)), 1)
    }
    var (elements, place) = ([JSON](), first)
    for _ in 0..<size {
      let part = list(tensor, sizes.dropFirst(), place)
      elements.append(part.json)
      place += part.count
    }
    return (.array(elements), place - first)
  }

  // MARK: Reading

  /// nil where a text is JSON, but none of these.
  private static func value(_ json: JSON) throws -> Value? {
    switch json {
    case .null: return .nil
    case .boolean(let flag): return .boolean(flag)
    case .integer(let number): return .integer(number)
    case .number(let number): return .number(number)
    case .string(let text): return .string(text)
    case .array(let elements):
      let values = try elements.compactMap { try value($0) }
      return values.count == elements.count ? .list(values) : nil
    case .object(let members):
      if members.count == 1, marks.contains(members[0].name) { return try marked(members[0]) }
      let fields = try members.compactMap { member in try value(member.value).map { (key: Value.string(member.name), value: $0) } }
      return fields.count == members.count ? .record(fields) : nil
    }
  }

  private static func marked(_ member: JSON.Member) throws -> Value? {
    switch (member.name, member.value) {
    case ("bits", .string(let digits)): return UInt64(digits, radix: 16).map { .number(Double(bitPattern: $0)) }
    case ("bytes", .string(let digits)):
      let digits = Array(digits.utf8)
      let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
        UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
      }
      return 2 * bytes.count == digits.count ? .bytes(bytes) : nil
    case ("pairs", .array(let pairs)):
      let fields = try pairs.compactMap { pair -> (key: Value, value: Value)? in
        guard case .array(let parts) = pair, parts.count == 2, let key = try value(parts[0]), let value = try value(parts[1]) else {
          return nil
        }
        switch key {
        case .nil: return nil
        case .number(let number) where number.isNaN: return nil
        default: return (key, value)
        }
      }
      return fields.count == pairs.count ? .record(fields) : nil
    default: return nil
    }
  }
}
