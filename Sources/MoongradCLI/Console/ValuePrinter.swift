// How the console shows values.

import Bindings
import LuaRuntime
import Tensors

/// Prints tables readably: list part first, then sorted keys; within limits of depth, width and length.
struct ValuePrinter {
  var width = 80
  var maximumDepth = 5
  var maximumElements = 100
  var maximumString = 200

  /// A piece of text, or several between braces.
  private indirect enum Piece {
    case text(String)
    case braces([Piece], fills: Bool)
    case pair(String, Piece)
  }

  /// A table's text. Reads it without running a script's code.
  func text(ofTable slot: Slot) throws -> String {
    var path: [UnsafeRawPointer] = []
    return layout(try piece(slot, &path), column: 0, indentation: 0)
  }

  // MARK: Reading

  private func piece(_ slot: Slot, _ path: inout [UnsafeRawPointer]) throws -> Piece {
    switch slot.type {
    case .none, .nil: return .text("nil")
    case .boolean: return .text(slot.isTruthy ? "true" : "false")
    case .number: return .text(ValuePrinter.number(slot))
    case .string: return .text(quoted(slot.bytes ?? []))
    case .table: return try table(slot, &path)
    case .function: return .text("function")
    case .thread: return .text("thread")
    case .lightUserdata: return .text("userdata")
    case .userdata:
      if let tensor = slot.object(tensorKind) {
        return .text("\(tensor.isParameter ? "Parameter" : "Tensor") \(tensor.dtype) \(tensor.shape)")
      }
      if let module = slot.object(moduleKind) { return .text(ValuePrinter.firstLine(module.description(indexBase: 1))) }
      return .text(slot.typeName)
    }
  }

  private func table(_ slot: Slot, _ path: inout [UnsafeRawPointer]) throws -> Piece {
    guard let address = slot.address else { return .text("table") }
    let name = slot.metatableName
    if path.contains(address) { return .text("{…} (itself, \(path.count - path.firstIndex(of: address)!) up)") }
    // A class's or module's insides are its own business, except at the top.
    if let name, !path.isEmpty { return .text(name) }
    if path.count >= maximumDepth { return .text(slot.isEmptyTable ? "{}" : "{…}") }
    path.append(address)
    defer { path.removeLast() }

    var pieces: [Piece] = []
    let length = slot.rawLength
    var fills = true
    try slot.forEachElement(atMost: maximumElements) { _, element in
      if ![.number, .boolean].contains(element.type) { fills = false }
      pieces.append(try piece(element, &path))
    }
    if length > maximumElements { pieces.append(.text("… (\(length - maximumElements) more)")) }

    var fields: [(key: Key, value: Piece)] = []
    var count = 0
    try slot.forEachPair { key, value in
      if let integer = key.integer, key.isInteger, integer >= 1, integer <= length { return }
      count += 1
      guard count <= 10_000 else { return }
      fields.append((Key(key, self), .text("")))
    }
    fields.sort { $0.key < $1.key }
    for field in fields.prefix(maximumElements) {
      pieces.append(.pair(field.key.text, try field.key.value(in: slot) { try piece($0, &path) }))
    }
    if count > maximumElements { pieces.append(.text("… (\(count - maximumElements) more)")) }
    return .braces(pieces, fills: fills && fields.isEmpty)
  }

  /// Keys in order: numbers, strings, everything else.
  private struct Key: Comparable {
    let text: String
    let rank: Int
    let number: Double
    let string: String
    let reference: Value?

    init(_ slot: Slot, _ printer: ValuePrinter) {
      number = slot.number ?? 0
      string = slot.string ?? ""
      reference = try? slot.value()
      switch slot.type {
      case .number:
        rank = 0
        text = "[\(ValuePrinter.number(slot))]"
      case .string:
        rank = 1
        text = ValuePrinter.isName(string) ? string : "[\(printer.quoted(slot.bytes ?? []))]"
      case .boolean:
        rank = 2
        text = "[\(slot.isTruthy)]"
      default:
        rank = 3
        text = "[\(slot.object(tensorKind).map { "Tensor \($0.dtype) \($0.shape)" } ?? slot.typeName)]"
      }
    }

    func value(in table: Slot, _ body: (Slot) throws -> Piece) throws -> Piece {
      guard let reference else { return .text("?") }
      return try table.withRawValue(reference, body)
    }

    static func < (a: Key, b: Key) -> Bool {
      (a.rank, a.number, a.string, a.text) < (b.rank, b.number, b.string, b.text)
    }
    static func == (a: Key, b: Key) -> Bool { a.rank == b.rank && a.text == b.text }
  }

  static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return text.utf8.allSatisfy(\.isWordByte) && !LuaKeywords.all.contains(text)
  }

  static func firstLine(_ text: String) -> String {
    let lines = text.split(separator: "\n", maxSplits: 1)
    return lines.count > 1 ? lines[0] + "…)" : text
  }

  /// A number as Lua prints it.
  static func number(_ slot: Slot) -> String {
    if slot.isInteger { return String(slot.integer ?? 0) }
    let value = slot.number ?? 0
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    if value == value.rounded(), abs(value) < 1e15 { return "\(Int(value)).0" }
    return "\(value)"
  }

  func quoted(_ bytes: [UInt8]) -> String {
    var result = "\""
    for scalar in String(decoding: bytes.prefix(maximumString), as: UTF8.self).unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      case _ where scalar.value < 32 || scalar.value == 127: result += "\\\(scalar.value)"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return bytes.count > maximumString ? result + "\"… (\(bytes.count) bytes)" : result + "\""
  }

  // MARK: Laying out

  private func flat(_ piece: Piece) -> String {
    switch piece {
    case .text(let text): text
    case .pair(let key, let value): "\(key) = \(flat(value))"
    case .braces(let pieces, _): "{" + pieces.map(flat).joined(separator: ", ") + "}"
    }
  }

  private func layout(_ piece: Piece, column: Int, indentation: Int) -> String {
    let line = flat(piece)
    if column + line.count <= width { return line }
    let margin = String(repeating: " ", count: indentation + 2)
    switch piece {
    case .text(let text): return text
    case .pair(let key, let value):
      return "\(key) = " + layout(value, column: column + key.count + 3, indentation: indentation)
    case .braces(let pieces, let fills):
      if fills { return "{\n" + filled(pieces.map(flat), margin) + "\n" + margin.dropLast(2) + "}" }
      let lines = pieces.map { margin + layout($0, column: margin.count + 1, indentation: indentation + 2) }
      return "{\n" + lines.joined(separator: ",\n") + "\n" + margin.dropLast(2) + "}"
    }
  }

  /// Short words, as many to a line as fit.
  private func filled(_ words: [String], _ margin: String) -> String {
    var lines = [margin]
    for (index, word) in words.enumerated() {
      let text = index + 1 < words.count ? word + "," : word
      if lines.last!.count + text.count > width, lines.last! != margin {
        lines[lines.count - 1] = lines.last!.trimmingTrailingSpace
        lines.append(margin)
      }
      lines[lines.count - 1] += text + (index + 1 < words.count ? " " : "")
    }
    return lines.joined(separator: "\n")
  }
}

enum LuaKeywords {
  static let all: Set<String> = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
  ]
}
