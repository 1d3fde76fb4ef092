// `local x = 1` stays visible on the next lines.

/// Rewrites the declarations at the top level of a chunk so that what they declare outlives it.
///
/// `local x = 1` becomes `x = 1`, `local x` becomes `x = nil`, `local function f` becomes `function f`; the console
/// then keeps these names in its environment, beside the globals rather than among them. Declarations inside blocks
/// and functions stay what they are, and so do those with `<close>`, which are about the end of a chunk. `<const>` is
/// dropped. Lines keep their numbers.
struct Locals {
  /// The chunk as it is to be run.
  let source: String
  /// What it declares.
  let names: [String]

  init(_ source: String) {
    let bytes = Array(source.utf8)
    let tokens = Token.all(in: bytes)
    var names: [String] = []
    var edits: [(range: Range<Int>, text: String)] = []
    var depth = 0
    var index = 0

    func word(_ index: Int) -> String? {
      index < tokens.count ? String(decoding: bytes[tokens[index].range], as: UTF8.self) : nil
    }
    func isName(_ index: Int) -> Bool { index < tokens.count && tokens[index].kind == .word }

    while index < tokens.count {
      defer { index += 1 }
      guard tokens[index].kind == .word else { continue }
      switch word(index) {
      case "function", "do", "if", "repeat": depth += 1
      case "end", "until": depth -= 1
      case "local" where depth == 0:
        let keyword = tokens[index].range
        if word(index + 1) == "function", isName(index + 2) {
          names.append(word(index + 2)!)
          edits.append((keyword, ""))
          continue
        }
        guard let list = NameList(after: index, word: word, isName: isName),
          !list.attributes.contains("close"), !list.names.contains("_ENV")
        else { continue }
        names += list.names
        edits.append((keyword, ""))
        edits += list.attributeTokens.map { (tokens[$0].range, "") }
        if word(list.end) != "=" {
          let last = tokens[list.end - 1].range.upperBound
          edits.append((last..<last, " = nil"))
        }
        index = list.end - 1
      default: break
      }
    }

    var result = bytes
    for edit in edits.reversed() { result.replaceSubrange(edit.range, with: Array(edit.text.utf8)) }
    self.source = String(decoding: result, as: UTF8.self)
    self.names = names
  }

  /// `x, y <const>` after `local`.
  private struct NameList {
    var names: [String] = []
    var attributes: [String] = []
    var attributeTokens: [Int] = []
    /// The token after the list.
    var end: Int

    init?(after index: Int, word: (Int) -> String?, isName: (Int) -> Bool) {
      end = index + 1
      while true {
        guard isName(end), let name = word(end) else { return nil }
        names.append(name)
        end += 1
        if word(end) == "<", isName(end + 1), word(end + 2) == ">" {
          attributes.append(word(end + 1)!)
          attributeTokens += [end, end + 1, end + 2]
          end += 3
        }
        guard word(end) == "," else { return }
        end += 1
      }
    }
  }
}

/// A token of Lua, as finely as `Locals` needs it.
struct Token {
  enum Kind {
    /// A name or a keyword.
    case word
    case string
    case other
  }

  let kind: Kind
  let range: Range<Int>

  /// All tokens without comments; an unfinished string or comment reaches to the end.
  static func all(in bytes: [UInt8]) -> [Token] {
    var tokens: [Token] = []
    var index = 0

    func byte(_ offset: Int) -> UInt8? { index + offset < bytes.count ? bytes[index + offset] : nil }

    /// The end of `[==[ … ]==]` that begins at `start`; nil when none begins there.
    func endOfLongBracket(at start: Int) -> Int? {
      guard start < bytes.count, bytes[start] == UInt8(ascii: "[") else { return nil }
      var level = start + 1
      while level < bytes.count, bytes[level] == UInt8(ascii: "=") { level += 1 }
      guard level < bytes.count, bytes[level] == UInt8(ascii: "[") else { return nil }
      let closing = [UInt8(ascii: "]")] + Array(repeating: UInt8(ascii: "="), count: level - start - 1) + [UInt8(ascii: "]")]
      var end = level + 1
      while end + closing.count <= bytes.count {
        if bytes[end..<end + closing.count].elementsEqual(closing) { return end + closing.count }
        end += 1
      }
      return bytes.count
    }

    while index < bytes.count {
      let start = index
      switch bytes[index] {
      case UInt8(ascii: " "), 9...13: index += 1
      case UInt8(ascii: "-") where byte(1) == UInt8(ascii: "-"):
        if let end = endOfLongBracket(at: index + 2) {
          index = end
        } else {
          while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { index += 1 }
        }
      case UInt8(ascii: "\""), UInt8(ascii: "'"):
        let quote = bytes[index]
        index += 1
        while index < bytes.count, bytes[index] != quote { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
        index = min(index + 1, bytes.count)
        tokens.append(Token(kind: .string, range: start..<index))
      case let first where first.isWordByte:
        while index < bytes.count, bytes[index].isWordByte { index += 1 }
        let isNumber = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first)
        tokens.append(Token(kind: isNumber ? .other : .word, range: start..<index))
      default:
        if let end = endOfLongBracket(at: index) {
          index = end
          tokens.append(Token(kind: .string, range: start..<index))
        } else {
          index += 1
          tokens.append(Token(kind: .other, range: start..<index))
        }
      }
    }
    return tokens
  }
}

extension UInt8 {
  /// Whether it may stand in a name.
  var isWordByte: Bool {
    self == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20)
      || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self)
  }
}
