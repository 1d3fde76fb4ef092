// The description in the head of a .npy file: a Python dictionary of three entries, of which no more Python is read than that.

import Tensors

/// What the head of a .npy file says.
struct NumPyHeader {
  /// NumPy's name of the elements, such as `<f4`.
  let elements: String
  let isColumnMajor: Bool
  let shape: [Int]

  /// The bytes before the description: magic, version, and its length.
  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// Reads the description in a head of which the lengths were checked. `place` is where it begins in the file.
  init(_ text: [UInt8], path: String, at place: Int) throws {
    try self = text.withUnsafeBytes {
      var parser = Parser(text: $0, path: path, place: place)
      return try parser.header()
    }
  }

  private init(elements: String, isColumnMajor: Bool, shape: [Int]) {
    (self.elements, self.isColumnMajor, self.shape) = (elements, isColumnMajor, shape)
  }

  private struct Parser {
    let text: UnsafeRawBufferPointer
    let path: String
    let place: Int
    var position = 0

    func failure(_ problem: String) -> FileError { FileError(path, "byte \(place + position): \(problem)") }

    mutating func skipBlanks() { while position < text.count, [0x20, 0x0a, 0x0d, 0x09].contains(text[position]) { position += 1 } }

    /// Whether the character comes next; then it is behind.
    mutating func takes(_ character: Unicode.Scalar) -> Bool {
      skipBlanks()
      guard position < text.count, text[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    mutating func require(_ character: Unicode.Scalar) throws {
      guard takes(character) else { throw failure("the description of the array has no '\(character)' here") }
    }

    mutating func string() throws -> String {
      skipBlanks()
      guard position < text.count, text[position] == 0x27 || text[position] == 0x22 else { throw failure("a string is missing here") }
      let quote = text[position]
      let start = position + 1
      guard let end = text[start...].firstIndex(of: quote) else { throw failure("a string does not end") }
      position = end + 1
      return String(decoding: text[start..<end], as: UTF8.self)
    }

    mutating func word() -> String {
      skipBlanks()
      let start = position
      while position < text.count, text[position] | 0x20 >= UInt8(ascii: "a"), text[position] | 0x20 <= UInt8(ascii: "z") { position += 1 }
      return String(decoding: text[start..<position], as: UTF8.self)
    }

    mutating func sizes() throws -> [Int] {
      try require("(")
      var sizes: [Int] = []
      while !takes(")") {
        skipBlanks()
        let start = position
        var size = 0
        while position < text.count, let digit = Optional(Int(text[position]) - 0x30), 0...9 ~= digit {
          let (tens, overflow) = size.multipliedReportingOverflow(by: 10)
          guard !overflow, tens <= Int.max - digit else { throw failure("a size of the array is larger than any memory") }
          size = tens + digit
          position += 1
        }
        guard position > start else { throw failure("a size of the array is missing here") }
        if position < text.count, text[position] == UInt8(ascii: "L") { position += 1 }  // Python 2 wrote it
        sizes.append(size)
        guard sizes.count <= 64 else { throw failure("the array has more than 64 dimensions") }
        if !takes(",") {
          try require(")")
          break
        }
      }
      return sizes
    }

    mutating func header() throws -> NumPyHeader {
      var (elements, shape, order): (String?, [Int]?, Bool?)
      try require("{")
      while !takes("}") {
        let start = position
        let name = try string()
        try require(":")
        skipBlanks()
        switch name {
        case "descr" where elements == nil:
          if position < text.count, text[position] == UInt8(ascii: "[") || text[position] == UInt8(ascii: "(") {
            throw failure(
              "the elements are structured, as \(String(decoding: text[position...].prefix(60), as: UTF8.self))…; only numbers are read: save each field as an array of its own"
            )
          }
          elements = try string()
        case "fortran_order" where order == nil:
          switch word() {
          case "True": order = true
          case "False": order = false
          default: throw failure("fortran_order is neither True nor False")
          }
        case "shape" where shape == nil: shape = try sizes()
        default:
          position = start
          throw failure("the entry '\(name)' of the description is unknown, or comes twice")
        }
        if !takes(",") {
          try require("}")
          break
        }
      }
      skipBlanks()
      guard position == text.count else { throw failure("after the description there is something else") }
      guard let elements, let shape, let order else { throw failure("the description lacks descr, fortran_order or shape") }
      return NumPyHeader(elements: elements, isColumnMajor: order, shape: shape)
    }
  }

  /// How the elements lie in the file, and the dtype that holds their values.
  struct Elements {
    let dtype: DType
    /// Bytes of each in the file.
    let width: Int
    let isBigEndian: Bool
    /// A whole number without sign, of more than a byte, which the next wider dtype holds.
    let isUnsigned: Bool
  }

  /// Throws for elements that no dtype holds, by NumPy's name.
  func facts(path: String) throws -> Elements {
    func refused(_ reason: String) -> FileError { FileError(path, "the elements are '\(elements)', \(reason)") }
    let order = elements.first
    let name = String(elements.drop { "<>|=".contains($0) })
    func facts(_ dtype: DType, unsigned: Bool = false) -> Elements {
      Elements(dtype: dtype, width: Int(name.dropFirst()) ?? 1, isBigEndian: order == ">", isUnsigned: unsigned)
    }
    switch name {
    case "u2": return facts(.int32, unsigned: true)
    case "u4": return facts(.int64, unsigned: true)
    case "u8": throw refused("whole numbers up to 2⁶⁴, which no dtype here holds; save them with .astype(\"int64\")")
    case "f16", "f12": throw refused("which no dtype here holds; save them with .astype(\"float64\")")
    default: break
    }
    if let dtype = DType.allCases.first(where: { $0.numPyName.map { String($0.dropFirst()) } == name }) { return facts(dtype) }
    switch name.first {
    case "O": throw refused("Python objects, which are programs as much as data, and are never read")
    case "c": throw refused("complex numbers, which there are none of; save real and imaginary parts")
    case "U", "S", "a": throw refused("text; only numbers are read")
    case "M", "m": throw refused("times; save them with .astype(\"int64\")")
    case "V": throw refused("bytes without a meaning; save them with .view() of a dtype of numbers")
    default: throw refused("which no dtype here holds")
    }
  }
}
