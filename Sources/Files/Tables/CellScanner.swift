// The bytes of a CSV file as they pass by, and the rules by which cells end.

import Glibc

/// A window on a file of cells: it moves on over the file, and grows where a line is longer than it.
final class CellScanner {
  /// How a cell ends.
  enum Ending {
    case delimiter, line, file
    /// The window ends before the cell does.
    case window
  }

  /// What a cell is, and where the next begins.
  struct Cell {
    /// Its bytes without quotes, until the scanner is used again.
    let text: UnsafeBufferPointer<UInt8>
    let ending: Ending
    let next: Int
    let isQuoted: Bool
    /// Ends of lines within the quotes.
    let newlines: Int
  }

  let path: String
  let options: CSVOptions
  private let stream: any ByteStream
  /// The window. Behind `end` there are zeros, for those who look at several bytes at once.
  private(set) var bytes: UnsafeMutablePointer<UInt8>
  private(set) var end = 0
  private(set) var isAtEnd = false
  /// How many bytes the window has passed over.
  private(set) var passed = 0
  /// Where the next line begins, in the window, and its number.
  var place = 0
  var line = 1
  private var capacity: Int
  /// A cell without its doubled quotes. At one address, since cells point to it.
  private var scratch = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 0)

  private static let margin = 64

  init(_ path: String, _ options: CSVOptions) throws {
    self.path = path
    self.options = options
    let marks = [options.delimiter] + [options.quote, options.comment].compactMap { $0 }
    guard marks.allSatisfy({ $0 < 128 && $0 > 0 && !"\n\r.+-".utf8.contains($0) && !(48...57 ~= $0 || 97...122 ~= $0 | 0x20) }),
      Set(marks).count == marks.count
    else {
      throw FileError(
        path,
        "delimiter, quote and comment must be different characters of ASCII, and none of those that numbers or ends of lines are made of")
    }
    stream = try openStream(path)
    capacity = 1 << 20
    bytes = .allocate(capacity: capacity + CellScanner.margin)
    bytes.initialize(repeating: 0, count: CellScanner.margin)
    _ = try refill()
    if end >= 3, bytes[0] == 0xef, bytes[1] == 0xbb, bytes[2] == 0xbf { place = 3 }
    guard end < 2 || UInt16(bytes[0]) << 8 | UInt16(bytes[1]) != 0xfffe && UInt16(bytes[0]) << 8 | UInt16(bytes[1]) != 0xfeff else {
      throw FileError(path, "is text in UTF-16; save it as UTF-8")
    }
    for _ in 0..<options.skippedLines {
      while true {
        var next = place
        if let ending = skipLine(&next) {
          place = next
          line += 1
          if ending == .file { return }
          break
        }
        _ = try refill()
      }
    }
  }

  deinit {
    bytes.deallocate()
    scratch.deallocate()
  }

  /// Reads more, and keeps what is from `place` on. False where there is nothing more.
  func refill() throws -> Bool {
    guard !isAtEnd else { return false }
    let kept = end - place
    guard kept <= options.longestLine else {
      throw FileError(path, "line \(line) is longer than the \(options.longestLine) bytes that are read; is a quote in it never closed?")
    }
    if kept > capacity / 2 {
      let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 * capacity + CellScanner.margin)
      larger.update(from: bytes + place, count: kept)
      bytes.deallocate()
      bytes = larger
      capacity *= 2
    } else if place > 0 {
      memmove(bytes, bytes + place, kept)
    }
    passed += place
    place = 0
    end = kept
    let count = try stream.read(into: UnsafeMutableRawBufferPointer(start: bytes + end, count: capacity - end))
    isAtEnd = count < capacity - end
    end += count
    (bytes + end).update(repeating: 0, count: CellScanner.margin)
    return true
  }

  // MARK: Cells

  /// How the cell ends whose text ends before `position`; nil where more of it is there.
  @inline(__always)
  func ending(_ position: Int) -> (ending: Ending, next: Int)? {
    let byte = bytes[position]
    if byte == options.delimiter { return (.delimiter, position + 1) }
    if byte == UInt8(ascii: "\n") { return (.line, position + 1) }
    if byte == UInt8(ascii: "\r") {
      if bytes[position + 1] == UInt8(ascii: "\n") { return (.line, position + 2) }
      return position + 1 == end && !isAtEnd ? (.window, position) : (.line, position + 1)
    }
    if position == end { return (isAtEnd ? .file : .window, position) }
    return nil
  }

  /// The cell that begins at `start`. `lineNumber` and `column` (from 1) are for errors.
  func cell(_ start: Int, line lineNumber: Int, column: Int) throws -> Cell {
    var position = start
    guard let quote = options.quote, bytes[start] == quote, start < end else {
      while true {
        if let (ending, next) = ending(position) {
          return Cell(
            text: UnsafeBufferPointer(start: bytes + start, count: position - start), ending: ending, next: next, isQuoted: false,
            newlines: 0)
        }
        position += 1
      }
    }
    var newlines = 0
    var copied = 0
    func copy(_ part: UnsafeBufferPointer<UInt8>) {
      // No cell is longer than the window.
      if scratch.count < end - start {
        let larger = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: capacity)
        larger.baseAddress!.update(from: scratch.baseAddress!, count: copied)
        scratch.deallocate()
        scratch = larger
      }
      (scratch.baseAddress! + copied).update(from: part.baseAddress!, count: part.count)
      copied += part.count
    }
    position += 1
    var partStart = position
    while true {
      guard position < end else {
        if isAtEnd { throw failure(lineNumber, column, "the quote that opens here is never closed") }
        return Cell(text: UnsafeBufferPointer(start: nil, count: 0), ending: .window, next: position, isQuoted: true, newlines: 0)
      }
      let byte = bytes[position]
      if byte == UInt8(ascii: "\n") { newlines += 1 }
      guard byte == quote else {
        position += 1
        continue
      }
      let part = UnsafeBufferPointer(start: bytes + partStart, count: position - partStart)
      if bytes[position + 1] == quote, position + 1 < end {
        // A doubled quote stands for one.
        copy(UnsafeBufferPointer(start: part.baseAddress, count: part.count + 1))
        position += 2
        partStart = position
        continue
      }
      guard let (ending, next) = ending(position + 1) else {
        let found = CellScanner.shown(UnsafeBufferPointer(start: bytes + position + 1, count: 1))
        let expected = "'\(Unicode.Scalar(options.delimiter))' or the line's end"
        throw failure(lineNumber + newlines, column, "behind the closing quote there is \(found), where \(expected) is expected")
      }
      if ending == .window { return Cell(text: part, ending: .window, next: position, isQuoted: true, newlines: 0) }
      guard copied > 0 else { return Cell(text: part, ending: ending, next: next, isQuoted: true, newlines: newlines) }
      copy(part)
      let text = UnsafeBufferPointer(start: scratch.baseAddress, count: copied)
      return Cell(text: text, ending: ending, next: next, isQuoted: true, newlines: newlines)
    }
  }

  /// Moves `position` behind the end of its line: how that ended; nil where the window ends before.
  func skipLine(_ position: inout Int) -> Ending? {
    while true {
      if let (ending, next) = ending(position), ending != .delimiter {
        if ending == .window { return nil }
        position = next
        return ending
      }
      position += 1
    }
  }

  /// Whether there is a line at `position` that counts: moves it over empty lines and remarks. Nil where the window ends before that is known.
  func findLine() -> Bool? {
    while true {
      if place == end { return isAtEnd ? false : nil }
      let byte = bytes[place]
      guard byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") || byte == options.comment else { return true }
      var next = place
      guard skipLine(&next) != nil else { return nil }
      place = next
      line += 1
    }
  }

  /// All cells of the next line, which stays the next; nil where there is none.
  func lookAtLine() throws -> (cells: [[UInt8]], next: Int, lines: Int)? {
    while true {
      guard let isThere = findLine() else {
        _ = try refill()
        continue
      }
      guard isThere else { return nil }
      var cells: [[UInt8]] = []
      var position = place
      var lines = 1
      while true {
        let cell = try cell(position, line: line + lines - 1, column: cells.count + 1)
        if cell.ending == .window { break }
        cells.append(Array(cell.text))
        guard cells.count <= CSVOptions.mostColumns else {
          throw FileError(path, "line \(line) has more than \(CSVOptions.mostColumns) cells")
        }
        lines += cell.newlines
        position = cell.next
        if cell.ending != .delimiter { return (cells, position, lines) }
      }
      _ = try refill()
    }
  }

  // MARK: Errors

  func failure(_ line: Int, _ column: Int, _ problem: String) -> FileError {
    FileError(path, "line \(line), column \(column): \(problem)")
  }

  /// A cell as errors show it.
  static func shown(_ text: UnsafeBufferPointer<UInt8>) -> String {
    let most = 40
    var shown = ""
    for scalar in String(decoding: text.prefix(most), as: UTF8.self).unicodeScalars {
      shown += scalar.value < 32 || scalar.value == 127 ? "\\x\(String(scalar.value, radix: 16))" : String(scalar)
    }
    return "'\(shown)\(text.count > most ? "…" : "")'"
  }
}
