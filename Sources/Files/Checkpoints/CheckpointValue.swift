// What a checkpoint holds: tensors and plain values in nested tables.

import Tensors

/// Files of nested values with tensors in them, which nothing executes: `Checkpoint.save(["epoch": 3, "weight": .tensor(w)], to: path)`.
public enum Checkpoint {
  /// Tables nested deeper than this are refused, written and read.
  public static let deepest = 200

  /// A value in a checkpoint.
  public enum Value {
    case none
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case text(String)
    /// A string that is no UTF-8.
    case bytes([UInt8])
    case tensor(Tensor)
    case table(Table)
  }

  /// A key of a table. Numbers that are whole are integers.
  public enum Key: Hashable, Sendable {
    case integer(Int)
    case number(Double)
    case boolean(Bool)
    case text(String)
    case bytes([UInt8])
  }

  /// Values by key. A table that is held twice is written once, and held twice again by what is read; none can hold itself.
  public final class Table {
    /// The entries, no key twice.
    public private(set) var entries: [(key: Key, value: Value)] = []
    private var places: [Key: Int] = [:]

    /// A table without entries.
    public init() {}

    /// A table of those values under 1, 2, ….
    public convenience init(list: [Value]) {
      self.init()
      for (position, value) in list.enumerated() { self[.integer(position + 1)] = value }
    }

    /// The value under a key; none where there is nothing, and to remove it.
    public subscript(key: Key) -> Value {
      get { places[key].map { entries[$0].value } ?? .none }
      set {
        if case .none = newValue {
          guard let place = places[key] else { return }
          entries.remove(at: place)
          places = Dictionary(uniqueKeysWithValues: entries.enumerated().map { ($1.key, $0) })
        } else if let place = places[key] {
          entries[place].value = newValue
        } else {
          places[key] = entries.count
          entries.append((key, newValue))
        }
      }
    }

    /// The same by name.
    public subscript(name: String) -> Value {
      get { self[.text(name)] }
      set { self[.text(name)] = newValue }
    }

    /// The values under 1, 2, … up to the first that is missing.
    public var list: [Value] {
      var list: [Value] = []
      while let place = places[.integer(list.count + 1)] { list.append(entries[place].value) }
      return list
    }
  }
}

extension Checkpoint.Value: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  /// `.integer`.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// `.number`.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// `.boolean`.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// `.text`.
  public init(stringLiteral value: String) { self = .text(value) }
  /// `.none`.
  public init(nilLiteral: ()) { self = .none }
  /// A table of those values under 1, 2, ….
  public init(arrayLiteral elements: Checkpoint.Value...) { self = .table(Checkpoint.Table(list: elements)) }
  /// A table of those values by name.
  public init(dictionaryLiteral elements: (String, Checkpoint.Value)...) {
    let table = Checkpoint.Table()
    for (name, value) in elements { table[name] = value }
    self = .table(table)
  }
}

extension Checkpoint.Value {
  // Nil where it is nothing of that sort.

  /// The truth value.
  public var boolean: Bool? { if case .boolean(let flag) = self { flag } else { nil } }
  /// Of numbers, those that are whole.
  public var integer: Int? {
    switch self {
    case .integer(let integer): integer
    case .number(let number): Int(exactly: number)
    default: nil
    }
  }
  /// Whole numbers are numbers too.
  public var number: Double? {
    switch self {
    case .integer(let integer): Double(integer)
    case .number(let number): number
    default: nil
    }
  }
  /// The text, if it is UTF-8.
  public var text: String? { if case .text(let text) = self { text } else { nil } }
  /// The tensor.
  public var tensor: Tensor? { if case .tensor(let tensor) = self { tensor } else { nil } }
  /// The table.
  public var table: Checkpoint.Table? { if case .table(let table) = self { table } else { nil } }
  /// The values under 1, 2, … of a table.
  public var list: [Checkpoint.Value]? { table?.list }
  /// A value of a table by name; none where there is nothing, or it is no table.
  public subscript(name: String) -> Checkpoint.Value { table?[name] ?? .none }

  /// What it is, for messages.
  package var found: String {
    switch self {
    case .none: "nil"
    case .boolean(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .number(let number): "\(number)"
    case .text(let text): "\"\(text.prefix(40))\""
    case .bytes(let bytes): "a string of \(bytes.count) bytes"
    case .tensor(let tensor): "a tensor of shape \(tensor.shape)"
    case .table: "a table"
    }
  }
}

extension Checkpoint.Key {
  /// Words that need no quotes behind a dot, and are short enough to be shown.
  private static func isWord(_ text: String) -> Bool {
    guard text.utf8.count <= 80, let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= first) else { return false }
    return text.utf8.allSatisfy {
      UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0
        || UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: "_")
    }
  }

  /// The place under this key, for messages: `optimizer.groups[1]`.
  package func path(in parent: String) -> String {
    switch self {
    case .text(let text) where Checkpoint.Key.isWord(text): parent.isEmpty ? text : "\(parent).\(text)"
    case .text(let text): "\(parent)[\(JSON.string(String(text.prefix(80))))]"
    case .integer(let integer): "\(parent)[\(integer)]"
    case .number(let number): "\(parent)[\(number)]"
    case .boolean(let flag): "\(parent)[\(flag)]"
    case .bytes(let bytes): "\(parent)[a string of \(bytes.count) bytes]"
    }
  }

  /// The name of what is under this key for other tools: `model.hidden.weight`.
  func name(in parent: String) -> String {
    let own: String
    switch self {
    case .text(let text): own = text
    case .integer(let integer): own = "\(integer)"
    case .number(let number): own = "\(number)"
    case .boolean(let flag): own = "\(flag)"
    case .bytes(let bytes): own = String(decoding: bytes, as: UTF8.self)
    }
    return parent.isEmpty ? own : "\(parent).\(own)"
  }

  /// Integers by size, then other numbers, flags, and strings by their bytes: files of equal values are equal.
  static func precedes(_ a: Checkpoint.Key, _ b: Checkpoint.Key) -> Bool {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a < b
    case (.number(let a), .number(let b)): a < b
    case (.boolean(let a), .boolean(let b)): !a && b
    default: a.rank != b.rank ? a.rank < b.rank : a.utf8.lexicographicallyPrecedes(b.utf8)
    }
  }

  private var rank: Int {
    switch self {
    case .integer: 0
    case .number: 1
    case .boolean: 2
    case .text, .bytes: 3
    }
  }

  private var utf8: [UInt8] {
    switch self {
    case .text(let text): Array(text.utf8)
    case .bytes(let bytes): bytes
    default: []
    }
  }
}
