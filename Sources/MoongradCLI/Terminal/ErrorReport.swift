// How an error is shown: the message, the line of source it is about, the traceback.

import LuaRuntime

/// The sources that are in no file, by the names that messages use: "stdin", "(command line)".
struct Sources {
  private var texts: [String: String] = [:]
  /// The script's path, in any encoding.
  var script: [UInt8]?
  /// The files that the session has loaded: lines of no others are shown, whatever a message names.
  var files: Set<String> = []

  mutating func add(_ name: String, _ text: String) { texts[name] = text }

  /// A line of a chunk, counting from 1.
  func line(_ position: LuaError.Position) -> Substring? {
    guard let text = text(of: position.chunk), position.line > 0 else { return nil }
    let lines = text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    return position.line <= lines.count ? lines[position.line - 1] : nil
  }

  /// Whether a chunk that is in no file has one line only.
  func isOneLine(_ chunk: String) -> Bool { texts[chunk].map { !$0.contains("\n") } ?? false }

  private func text(of chunk: String) -> String? {
    if let text = texts[chunk] { return text }
    guard let bytes = try? readFile(path(of: chunk) ?? []) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The file that messages call so; Lua shortens long names to "...end/of/path.lua".
  private func path(of chunk: String) -> [UInt8]? {
    func isMeant(_ path: String) -> Bool { path == chunk || chunk.hasPrefix("...") && path.hasSuffix(chunk.dropFirst(3)) }
    if let script, isMeant(String(decoding: script, as: UTF8.self)) { return script }
    return files.first(where: isMeant).map { Array($0.utf8) }
  }
}

struct ErrorReport {
  let error: LuaError
  let sources: Sources
  var palette: Palette
  /// The most lines of the traceback; the middle is left out.
  var tracebackLimit = 24
  /// Whether to leave out what a person at the console has before their eyes: a traceback of one call, and a line of
  /// source that is the whole input, when no part of it can be marked.
  var isTerse = false

  /// The error's, or the contents of a table that was raised and has no text of its own.
  private var message: String {
    guard case .table(let table)? = error.value, error.message.hasPrefix("(error object"),
      let text = try? table.read({ $0.isEmptyTable ? nil : try ValuePrinter(width: Terminal.width).text(ofTable: $0) })
    else { return error.message }
    return text
  }

  /// The whole, ending in a new line.
  func text(prefix: String) -> String {
    var lines = [palette(.red, prefix) + message.withoutControls]
    lines += excerpt
    if let traceback { lines += traceback }
    return lines.map { $0 + "\n" }.joined()
  }

  // MARK: The line of source

  /// Two lines: the source, and below it marks under what the message names.
  private var excerpt: [String] {
    guard let position = error.position ?? positionOfTraceback,
      var line = sources.line(position).map({ Array(String($0).withoutControls) })
    else { return [] }
    line = line.map { $0 == "\t" ? " " : $0 }
    while line.last?.isWhitespace == true { line.removeLast() }
    guard let start = line.firstIndex(where: { !$0.isWhitespace }) else { return [] }
    let name = named(in: line)
    if isTerse, name == nil, sources.isOneLine(position.chunk) { return [] }
    var marked = name ?? start..<line.count
    // Of a very long line, the part around the mark.
    let width = 100
    if line.count > width {
      let from = max(0, min(marked.lowerBound - width / 3, line.count - width))
      line = Array(line[from..<from + width])
      marked = max(0, marked.lowerBound - from)..<min(width, marked.upperBound - from)
    }
    let number = String(position.line)
    let margin = String(repeating: " ", count: number.count)
    return [
      palette(.dim, "  \(number) | ") + String(line),
      palette(.dim, "  \(margin) | ") + String(repeating: " ", count: marked.lowerBound)
        + palette(.red, String(repeating: "^", count: marked.count)),
    ]
  }

  /// Where the line has the name that the message is about, when it has it once.
  private func named(in line: [Character]) -> Range<Int>? {
    for name in candidates {
      let name = Array(name)
      guard !name.isEmpty, name.count <= line.count else { continue }
      let isWord = name.allSatisfy(isWordCharacter)
      let places = (0...line.count - name.count).filter { start in
        let end = start + name.count
        guard line[start..<end].elementsEqual(name) else { return false }
        if !isWord { return true }
        return (start == 0 || !isWordCharacter(line[start - 1])) && (end == line.count || !isWordCharacter(line[end]))
      }
      if places.count == 1 { return places[0]..<places[0] + name.count }
    }
    return nil
  }

  /// Names that a message may be about, likeliest first: `(field 'x')`, `near '='`, any quoted one, `mm: …`.
  private var candidates: [String] {
    let message = error.plainMessage
    var names: [String] = []
    let quoted = message.split(separator: "'", omittingEmptySubsequences: false)
    for index in stride(from: 1, to: quoted.count - 1, by: 2) {
      let before = quoted[index - 1]
      let isCertain = ["field ", "method ", "local ", "global ", "upvalue ", "near ", "function "].contains { before.hasSuffix($0) }
      names.insert(String(quoted[index]), at: isCertain ? 0 : names.count)
    }
    if let colon = message.firstIndex(of: ":") {
      let operation = message[..<colon]
      if operation.count <= 40, operation.allSatisfy(isWordCharacter) { names.append(String(operation)) }
    }
    return names
  }

  private func isWordCharacter(_ character: Character) -> Bool {
    character == "_" || (character.isASCII && (character.isLetter || character.isNumber))
  }

  // MARK: The traceback

  private var traceback: [String]? {
    guard let text = error.traceback else { return nil }
    var lines = text.withoutControls.split(separator: "\n").map { String($0.replacing("\t", with: "  ")) }
    while let last = lines.last, last.hasSuffix("[C]: in ?") { lines.removeLast() }
    guard lines.count > 1 else { return nil }
    let calls = lines.dropFirst().filter { !$0.hasPrefix("  [C]: ") }
    if isTerse, calls.count <= 1, calls.allSatisfy({ $0.hasSuffix("in main chunk") || $0.contains("in function <[") }) { return nil }
    if lines.count > tracebackLimit {
      let kept = tracebackLimit / 2
      let middle = kept..<lines.count - kept
      // Lua itself leaves out the middle of very long ones: "...(skipping 199 levels)".
      let skipped = lines[middle].compactMap { line -> Int? in
        guard let start = line.firstRange(of: "(skipping ") else { return nil }
        return Int(line[start.upperBound...].prefix { $0.isNumber })
      }
      let left = middle.count - skipped.count + skipped.reduce(0, +)
      lines.replaceSubrange(middle, with: ["  ... (\(left) more)"] as [String])
    }
    lines[0] = palette(.dim, lines[0])
    return lines
  }

  /// The innermost line of Lua, for errors without a position in the message.
  private var positionOfTraceback: LuaError.Position? {
    guard let text = error.traceback else { return nil }
    for line in text.split(separator: "\n").dropFirst() {
      if let position = LuaError(String(line.drop { $0 == "\t" })).position { return position }
    }
    return nil
  }
}
