// Lines that hold nothing but numbers, as most of most files do: a window of them is read on all threads.

import Glibc
import Tensors

extension CSVReader {
  /// Some lines of the window, one thread's.
  private struct Part {
    /// Where they are, and the row of the first.
    let start, stop: Int
    var row = 0
    /// How many lines there are, and how many from the first on were read.
    var lines = 0, read = 0
    /// Where those end.
    var place = 0
  }

  /// Smaller windows are not worth it.
  private static let leastWindow = 1 << 17

  /// Reads the window's lines up to the first that is not all numbers, which is left to ``readLines(_:)``; none where there is a quote,
  /// for ends of lines may be within quotes, or where there are not rows for all of them.
  func readPlainLines(_ most: Int) throws {
    let (begin, length) = (scanner.place, scanner.end - scanner.place)
    guard mixedWindows < 2, length >= CSVReader.leastWindow, !hasMissingNumbers,
      (0..<slotCount).allSatisfy({ slots[$0].role == .numbers || slots[$0].role == .ignored })
    else { return }
    let bytes = UnsafePointer(scanner.bytes)
    var stop = begin + length
    while stop > begin, bytes[stop - 1] != newline { stop -= 1 }
    guard stop > begin else { return }
    if let quote = options.quote, memchr(bytes + begin, Int32(quote), stop - begin) != nil { return }

    var parts: [Part] = []
    let count = max(1, min(Threads.count, 8, (stop - begin) >> 16))
    var start = begin
    for number in 1...count {
      let guess = begin + (stop - begin) / count * number
      guard start < stop, guess > start || number == count else { continue }
      // Behind the end of a line, which there is: the last byte is one.
      var end = number == count ? stop : guess + 1
      while bytes[end - 1] != newline { end += 1 }
      parts.append(Part(start: start, stop: end))
      start = end
    }
    var row = rows
    for index in parts.indices {
      parts[index].row = row
      for place in parts[index].start..<parts[index].stop { parts[index].lines &+= bytes[place] == newline ? 1 : 0 }
      row += parts[index].lines
    }
    guard row <= most else { return }
    // By what the file's size promises, for to double the room again and again is to copy all columns as often.
    if room < row, let size = fileSize {
      let promised = Double(row) / Double(max(scanner.passed + stop, 1)) * Double(size) * 1.02 + 64
      // At least twice as much as there was: a gzipped file promises too little.
      try makeRoom(min(most, max(row, 2 * room, Int(min(promised, 1e12)))), exactly: true)
    }
    while room < row { try makeRoom(most) }

    CSVReader.readAll(&parts, Lines(bytes: bytes, slots: slots, slotCount: slotCount, parser: parser, options: options))
    for part in parts {
      rows += part.read
      scanner.line += part.read
      scanner.place = part.place
      if part.read < part.lines {
        mixedWindows += 1
        break
      }
    }
  }

  /// What all threads read by.
  private struct Lines {
    let bytes: UnsafePointer<UInt8>
    let slots: UnsafeMutablePointer<Slot>
    let slotCount: Int
    let parser: DecimalParser
    let options: CSVOptions
  }

  private static func readAll(_ parts: inout [Part], _ lines: Lines) {
    parts.withUnsafeMutableBufferPointer { parts in
      let first = parts.baseAddress!
      inParallel(parts.count) { number in read(first + number, lines) }
    }
  }

  private static func read(_ target: UnsafeMutablePointer<Part>, _ lines: Lines) {
    let (bytes, slots, slotCount, parser) = (lines.bytes, lines.slots, lines.slotCount, lines.parser)
    let (delimiter, comment) = (lines.options.delimiter, lines.options.comment)
    // Written back once, since the threads' parts lie side by side.
    var part = target.pointee
    defer { target.pointee = part }
    let blank: UInt8 = delimiter == 0x20 ? 0x09 : 0x20
    let carriage = UInt8(ascii: "\r")
    var p = bytes + part.start
    let stop = bytes + part.stop
    part.place = part.start
    while p < stop {
      // Empty lines and remarks are no rows.
      if p.pointee == newline || p.pointee == carriage || p.pointee == comment { return }
      for column in 0..<slotCount {
        var r = p
        if slots[column].role == .numbers {
          while r.pointee == blank { r += 1 }
          var value = 0.0
          guard let end = parser.number(r, &value) else { return }
          r = end
          while r.pointee == blank { r += 1 }
          slots[column].values![part.row + part.read] = value
        } else {
          while r.pointee != delimiter, r.pointee != newline, r.pointee != carriage { r += 1 }
        }
        if column < slotCount - 1 {
          guard r.pointee == delimiter else { return }
          p = r + 1
        } else if r.pointee == newline {
          p = r + 1
        } else {
          guard r.pointee == carriage, r[1] == newline else { return }
          p = r + 2
        }
      }
      part.read += 1
      part.place = p - bytes
    }
  }
}

private let newline = UInt8(ascii: "\n")
