// JSON (RFC 8259), read and written. Foundation has a reader, which would cost the command half of its start-up time; this one
// also tells whole numbers from others, keeps the order of members, and refuses a name that comes twice.

/// A JSON value.
public enum JSON: Equatable, Sendable {
  case null
  case boolean(Bool)
  /// A number without point or exponent that 64 bits hold.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  /// Members in the order of the text.
  case object([Member])

  /// A name and its value.
  public struct Member: Equatable, Sendable {
    /// Its name.
    public let name: String
    /// Its value.
    public let value: JSON
    /// That value under that name.
    public init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }

  /// The value of a member; nil where there is none, or where it is no object.
  public subscript(name: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// "a string", "an object", for errors.
  public var kindName: String {
    switch self {
    case .null: "null"
    case .boolean: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON {
  /// Values nested deeper than this are refused.
  public static let deepest = 200

  /// Reads a text of one value. Throws a ``FileError`` that names the line and column (from 1, in bytes) at fault.
  public init(_ text: UnsafeRawBufferPointer, path: String = "") throws {
    var parser = Parser(text, path)
    self = try parser.whole()
  }

  /// The same of a string.
  public init(_ text: String, path: String = "") throws {
    var text = text
    self = try text.withUTF8 { try JSON(UnsafeRawBufferPointer($0), path: path) }
  }

  private struct Parser {
    let text: UnsafeRawBufferPointer
    let path: String
    var position = 0

    init(_ text: UnsafeRawBufferPointer, _ path: String) {
      self.text = text
      self.path = path
    }

    func failure(_ problem: String, at place: Int? = nil) -> FileError {
      let place = place ?? position
      let before = text[..<min(place, text.count)]
      let line = before.count { $0 == UInt8(ascii: "\n") } + 1
      let column = place - (before.lastIndex(of: UInt8(ascii: "\n")) ?? -1)
      return FileError(path, "line \(line), column \(column): \(problem)")
    }

    var next: UInt8? { position < text.count ? text[position] : nil }

    /// What stands at the position, for errors.
    var found: String {
      guard let next else { return "the end" }
      return next > 32 && next < 127 ? "'\(Character(UnicodeScalar(next)))'" : "byte \(next)"
    }

    mutating func skipSpace() {
      while let byte = next, byte == 32 || byte == 10 || byte == 13 || byte == 9 { position += 1 }
    }

    mutating func whole() throws -> JSON {
      let result = try value(depth: 0)
      skipSpace()
      guard position == text.count else { throw failure("the end was expected after the value, got \(found)") }
      return result
    }

    mutating func value(depth: Int) throws -> JSON {
      guard depth < JSON.deepest else { throw failure("values are nested more than \(JSON.deepest) deep") }
      skipSpace()
      switch next {
      case UInt8(ascii: "{"): return try object(depth)
      case UInt8(ascii: "["): return try array(depth)
      case UInt8(ascii: "\""): return .string(try string())
      case UInt8(ascii: "t"): return try word("true", .boolean(true))
      case UInt8(ascii: "f"): return try word("false", .boolean(false))
      case UInt8(ascii: "n"): return try word("null", .null)
      case let byte? where byte == UInt8(ascii: "-") || isDigit(byte): return try number()
      default: throw failure("a value was expected, got \(found)")
      }
    }

    mutating func word(_ word: StaticString, _ value: JSON) throws -> JSON {
      let letters = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
      guard text.count - position >= letters.count, text[position..<position + letters.count].elementsEqual(letters) else {
        throw failure("'\(word)' was expected")
      }
      position += letters.count
      return value
    }

    mutating func object(_ depth: Int) throws -> JSON {
      position += 1
      var members: [Member] = []
      var names = Set<String>()
      skipSpace()
      if next == UInt8(ascii: "}") {
        position += 1
        return .object([])
      }
      while true {
        skipSpace()
        guard next == UInt8(ascii: "\"") else { throw failure("a member's name in double quotes was expected, got \(found)") }
        let start = position
        let name = try string()
        guard names.insert(name).inserted else { throw failure("the name \"\(name)\" comes a second time", at: start) }
        skipSpace()
        guard next == UInt8(ascii: ":") else { throw failure("':' was expected after a name, got \(found)") }
        position += 1
        members.append(Member(name, try value(depth: depth + 1)))
        if try ends(with: UInt8(ascii: "}")) { return .object(members) }
      }
    }

    mutating func array(_ depth: Int) throws -> JSON {
      position += 1
      var elements: [JSON] = []
      skipSpace()
      if next == UInt8(ascii: "]") {
        position += 1
        return .array([])
      }
      while true {
        elements.append(try value(depth: depth + 1))
        if try ends(with: UInt8(ascii: "]")) { return .array(elements) }
      }
    }

    /// Passes a comma, or the end of a list, which it answers for.
    mutating func ends(with closing: UInt8) throws -> Bool {
      skipSpace()
      guard next == closing || next == UInt8(ascii: ",") else {
        throw failure("',' or '\(Character(UnicodeScalar(closing)))' was expected, got \(found)")
      }
      defer { position += 1 }
      return next == closing
    }

    mutating func string() throws -> String {
      let opening = position
      position += 1
      var bytes: [UInt8] = []
      while true {
        guard let byte = next else { throw failure("the string that begins here does not end", at: opening) }
        guard byte >= 32 else { throw failure("a control character, byte \(byte), in a string") }
        position += 1
        if byte == UInt8(ascii: "\"") { break }
        if byte == UInt8(ascii: "\\") { try escape(&bytes) } else { bytes.append(byte) }
      }
      guard let string = String(validating: bytes, as: UTF8.self) else { throw failure("the string is no UTF-8", at: opening) }
      return string
    }

    mutating func escape(_ bytes: inout [UInt8]) throws {
      guard let letter = next else { throw failure("the text ends in a string") }
      position += 1
      switch letter {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(letter)
      case UInt8(ascii: "b"): bytes.append(8)
      case UInt8(ascii: "f"): bytes.append(12)
      case UInt8(ascii: "n"): bytes.append(10)
      case UInt8(ascii: "r"): bytes.append(13)
      case UInt8(ascii: "t"): bytes.append(9)
      case UInt8(ascii: "u"):
        let start = position - 2
        var code = try hexadecimal()
        if 0xD800..<0xDC00 ~= code {  // the first half of a pair
          guard text.count - position >= 6, text[position] == UInt8(ascii: "\\"), text[position + 1] == UInt8(ascii: "u") else {
            throw failure("half of a surrogate pair", at: start)
          }
          position += 2
          let low = try hexadecimal()
          guard 0xDC00..<0xE000 ~= low else { throw failure("half of a surrogate pair", at: start) }
          code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = UnicodeScalar(code) else { throw failure("half of a surrogate pair", at: start) }
        bytes += Character(scalar).utf8
      default:
        position -= 1
        throw failure("\\\(found) is no escape")
      }
    }

    mutating func hexadecimal() throws -> UInt32 {
      var code: UInt32 = 0
      for _ in 0..<4 {
        guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
          throw failure("four hexadecimal digits were expected, got \(found)")
        }
        code = code << 4 | UInt32(digit)
        position += 1
      }
      return code
    }

    private func isDigit(_ byte: UInt8?) -> Bool { byte.map { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } ?? false }

    mutating func number() throws -> JSON {
      let start = position
      var isWhole = true
      if next == UInt8(ascii: "-") { position += 1 }
      guard isDigit(next) else { throw failure("a digit was expected, got \(found)") }
      if next == UInt8(ascii: "0") {
        position += 1
        guard !isDigit(next) else { throw failure("a number does not begin with 0", at: start) }
      }
      while isDigit(next) { position += 1 }
      if next == UInt8(ascii: ".") {
        isWhole = false
        position += 1
        guard isDigit(next) else { throw failure("a digit was expected, got \(found)") }
        while isDigit(next) { position += 1 }
      }
      if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
        isWhole = false
        position += 1
        if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
        guard isDigit(next) else { throw failure("a digit was expected, got \(found)") }
        while isDigit(next) { position += 1 }
      }
      let digits = String(decoding: text[start..<position], as: UTF8.self)
      if isWhole, let integer = Int(digits) { return .integer(integer) }
      guard let number = Double(digits) else { throw failure("\(digits) is no number", at: start) }
      return .number(number)
    }
  }
}

extension JSON: CustomStringConvertible {
  /// The text, in one line. Numbers that JSON has none for (nan, infinity) are null.
  public var description: String {
    var text = ""
    write(to: &text)
    return text
  }

  /// A string as JSON writes it, in double quotes.
  static func string(_ string: String) -> String {
    var text = ""
    quote(string, into: &text)
    return text
  }

  private func write(to text: inout String) {
    switch self {
    case .null: text += "null"
    case .boolean(let flag): text += flag ? "true" : "false"
    case .integer(let number): text += String(number)
    case .number(let number): text += number.isFinite ? "\(number)" : "null"
    case .string(let string): JSON.quote(string, into: &text)
    case .array(let elements):
      text += "["
      for (index, element) in elements.enumerated() {
        if index > 0 { text += "," }
        element.write(to: &text)
      }
      text += "]"
    case .object(let members):
      text += "{"
      for (index, member) in members.enumerated() {
        if index > 0 { text += "," }
        JSON.quote(member.name, into: &text)
        text += ":"
        member.value.write(to: &text)
      }
      text += "}"
    }
  }

  private static func quote(_ string: String, into text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{8}": text += "\\b"
      case "\u{c}": text += "\\f"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
