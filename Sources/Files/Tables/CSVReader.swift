// Reading CSV files (RFC 4180, and what else goes by that name) into columns.
//
// A line is read in one go from its first cell to its last: numbers go directly into their columns, as most cells are, and other
// cells by the rules of the scanner. Where its window ends within a line, the line is begun anew when more was read.

import Glibc
import Tensors

/// Reads a CSV file, gzipped or not, also one that is larger than memory: some rows at a time.
public final class CSVReader {
  /// One column of the file.
  struct Slot: BitwiseCopyable {
    enum Role {
      case ignored, numbers, texts
      /// Numbers until a cell was none.
      case spoilt
    }
    var role = Role.ignored
    /// Where its numbers go.
    var values: UnsafeMutablePointer<Double>?
  }

  /// The path that it was opened by.
  public let path: String
  /// Those that are wanted, in the order that they are wanted in.
  public let names: [String]
  /// For each of these, its place in the file, from 0.
  private let places: [Int]
  let options: CSVOptions
  let scanner: CellScanner
  private let goesOn: () throws -> Void
  let slots: UnsafeMutablePointer<Slot>
  let slotCount: Int
  /// Names of the file's columns, for errors.
  private let fileNames: [String]
  private var piles: [Pile<Double>?]
  private var texts: [TextColumn?]
  /// Rows of this table, and for how many there is room; and those of the tables before.
  var rows = 0
  private(set) var room = 0
  private var rowsBefore = 0
  /// The size of a plain file, nil for others: a gzipped one does not tell how many rows it has.
  let fileSize: Int?
  /// Windows whose lines were not all numbers (see ``readPlainLines(_:)``).
  var mixedWindows = 0
  /// For columns that are texts, by their places, since which cell.
  private var reasons: [Int: String]
  /// Columns that began as numbers and are none, with the first cell that was none.
  private var spoilt: [Int: String] = [:]
  /// What columns are is no longer open.
  private let isFixed: Bool
  private let declared: Set<Int>
  let parser = DecimalParser()
  private let missing: [[UInt8]]
  /// Whether some spelling of what is missing is a number.
  let hasMissingNumbers: Bool

  /// `texts` are columns known to be texts, by their places in the file, and why.
  private init(
    _ path: String, _ options: CSVOptions, texts known: [Int: String], isFixed: Bool, while goesOn: @escaping () throws -> Void
  ) throws {
    self.path = path
    self.options = options
    self.goesOn = goesOn
    self.isFixed = isFixed
    reasons = known
    var facts = stat()
    fileSize = stat(try checked(path: path, for: .reading), &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG ? Int(facts.st_size) : nil
    missing = options.missing.map { Array($0.utf8) }
    hasMissingNumbers = options.missing.contains { Double($0).map { !$0.isNaN } ?? false }
    scanner = try CellScanner(path, options)
    guard let first = try scanner.lookAtLine() else {
      throw FileError(path, options.hasHeader ? "is empty: there is no line with the names of columns" : "is empty: there are no columns")
    }
    if options.hasHeader {
      scanner.place = first.next
      scanner.line += first.lines
      fileNames = CSVReader.names(first.cells)
    } else {
      fileNames = (1...first.cells.count).map(String.init)
    }
    let all = fileNames
    let count = all.count
    let byName = Dictionary(all.enumerated().map { ($1, $0) }) { first, _ in first }
    func place(_ name: String) throws -> Int {
      guard let place = byName[name] else {
        let list = all.prefix(20).map { "'\($0)'" }.joined(separator: ", ")
        throw FileError(path, "there is no column '\(name)'; there are \(list)\(count > 20 ? ", …" : "")")
      }
      return place
    }
    places =
      try options.columns?.map {
        switch $0 {
        case .name(let name): return try place(name)
        case .position(let position):
          guard position >= 0, position < count else { throw FileError(path, "there is no column \(position + 1); there are \(count)") }
          return position
        }
      } ?? Array(0..<count)
    names = places.map { all[$0] }
    slotCount = count
    slots = .allocate(capacity: count)
    slots.initialize(repeating: Slot(), count: count)
    piles = Array(repeating: nil, count: count)
    texts = Array(repeating: nil, count: count)
    var declared: Set<Int> = []
    for place in places { slots[place].role = known[place] == nil ? .numbers : .texts }
    for (name, kind) in options.types {
      let place = try place(name)
      declared.insert(place)
      if slots[place].role != .ignored { slots[place].role = kind == .numbers ? .numbers : .texts }
    }
    self.declared = declared
  }

  deinit { slots.deallocate() }

  /// Names as they stand in the header, without blanks around them; what has none is called by its position, and what has
  /// another's gets a number behind it, as pandas does.
  private static func names(_ cells: [[UInt8]]) -> [String] {
    var used: Set<String> = []
    return cells.enumerated().map { position, cell in
      let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
      let text = String(decoding: cell.drop(while: isBlank).reversed().drop(while: isBlank).reversed(), as: UTF8.self)
      let plain = text.isEmpty ? String(position + 1) : text
      var name = plain
      var number = 1
      while !used.insert(name).inserted {
        name = "\(plain).\(number)"
        number += 1
      }
      return name
    }
  }

  // MARK: Whole files, and files in parts

  /// A whole file.
  public static func read(_ path: String, _ options: CSVOptions = CSVOptions(), while goesOn: @escaping () throws -> Void = {}) throws
    -> DataTable
  {
    var texts: [Int: String] = [:]
    while true {
      let reader = try CSVReader(path, options, texts: texts, isFixed: false, while: goesOn)
      let table = try reader.table(options.mostRows)
      // What turned out to be text further down is read again from the beginning as such.
      guard let first = reader.spoilt.min(by: { $0.key < $1.key }) else { return table }
      guard try isRegular(path) else {
        let name = reader.fileNames[first.key]
        throw FileError(
          path,
          "\(first.value) in the column '\(name)' is no number; what is no file cannot be read again: say types = { [\"\(name)\"] = \"text\" }"
        )
      }
      texts = reader.spoilt.merging(reader.reasons) { first, _ in first }
    }
  }

  /// A file to be read by ``next(_:)``. What its columns are is found out from the first rows, as many as `looking` says; a cell
  /// further down that is no number, in a column of numbers, is an error then.
  public static func stream(
    _ path: String, _ options: CSVOptions = CSVOptions(), looking: Int = 1000, while goesOn: @escaping () throws -> Void = {}
  ) throws -> CSVReader {
    // What comes through a pipe comes once: columns are numbers there, unless they are said to be text.
    guard try isRegular(path) else { return try CSVReader(path, options, texts: [:], isFixed: true, while: goesOn) }
    var few = options
    few.mostRows = min(looking, options.mostRows)
    var texts: [Int: String] = [:]
    while true {
      let reader = try CSVReader(path, few, texts: texts, isFixed: false, while: goesOn)
      _ = try reader.table(few.mostRows)
      let found = reader.spoilt.merging(reader.reasons) { first, _ in first }
      if reader.spoilt.isEmpty { return try CSVReader(path, options, texts: found, isFixed: true, while: goesOn) }
      texts = found
    }
  }

  /// Whether it can be read more than once.
  private static func isRegular(_ path: String) throws -> Bool {
    var facts = stat()
    return stat(try checked(path: path, for: .reading), &facts) == 0 && facts.st_mode & S_IFMT == S_IFREG
  }

  /// The next rows, at most that many; nil at the end.
  public func next(_ count: Int) throws -> DataTable? {
    let wanted = min(count, options.mostRows - rowsBefore)
    guard wanted > 0 else { return nil }
    let table = try table(wanted)
    return table.rowCount > 0 ? table : nil
  }

  private func table(_ most: Int) throws -> DataTable {
    rows = 0
    room = 0
    for place in 0..<slotCount {
      piles[place] = slots[place].role == .numbers ? try Pile(capacity: 0) : nil
      texts[place] = slots[place].role == .texts ? try TextColumn() : nil
    }
    try makeRoom(most)
    var isFirst = rowsBefore == 0
    while try !readLines(most) {
      try goesOn()
      // To begin anew costs least in the beginning.
      if isFirst, !spoilt.isEmpty { break }
      isFirst = false
      guard try scanner.refill() else { break }
    }
    rowsBefore += rows
    return try finished()
  }

  private func finished() throws -> DataTable {
    var columns: [Int: DataTable.Column] = [:]
    for place in 0..<slotCount {
      if let pile = piles[place], slots[place].role == .numbers {
        pile.count = rows
        columns[place] = .numbers(try pile.vector(.float64))
      } else if let text = texts[place] {
        columns[place] = .texts(text)
      }
      (piles[place], texts[place]) = (nil, nil)
    }
    let reasons = Dictionary(places.enumerated().compactMap { position, place in self.reasons[place].map { (position, $0) } }) { first, _ in
      first
    }
    return DataTable(path, names, places.compactMap { columns[$0] }, rows: rows, reasons: reasons)
  }

  /// Makes room for more rows, `most` at most; for as many where `exactly`.
  func makeRoom(_ most: Int, exactly: Bool = false) throws {
    room = exactly ? most : min(most, max(2 * room, max(16, (1 << 18) / slotCount)))
    for place in 0..<slotCount {
      guard let pile = piles[place] else { continue }
      pile.count = rows
      try pile.grow(to: room)
      slots[place].values = pile.first
    }
  }

  // MARK: Lines

  /// Reads lines until there are `most` rows or the window ends: whether these are all, or the file ended.
  private func readLines(_ most: Int) throws -> Bool {
    try readPlainLines(most)
    let scanner = scanner, slots = slots, slotCount = slotCount, parser = parser
    let delimiter = options.delimiter
    let hasMissingNumbers = hasMissingNumbers
    let blank: UInt8 = delimiter == 0x20 ? 0x09 : 0x20
    let bytes = UnsafePointer(scanner.bytes)
    while rows < most {
      guard let isThere = scanner.findLine() else { return false }
      guard isThere else { return true }
      if rows == room { try makeRoom(most) }
      let row = rows
      var p = bytes + scanner.place
      var column = 0
      var newlines = 0
      var ending = CellScanner.Ending.delimiter
      cells: while true {
        guard column < slotCount else {
          throw scanner.failure(
            scanner.line + newlines, column + 1, "a cell more than the \(slotCount) of the \(options.hasHeader ? "header" : "first line")")
        }
        if slots[column].role == .numbers {
          var q = p
          while q.pointee == blank { q += 1 }
          var value = 0.0
          if !hasMissingNumbers, var r = parser.number(q, &value) {
            while r.pointee == blank { r += 1 }
            let byte = r.pointee
            if byte == delimiter {
              slots[column].values![row] = value
              column += 1
              p = r + 1
              continue
            }
            if let (end, next) = scanner.ending(r - bytes) {
              if end == .window { return rollBack() }
              slots[column].values![row] = value
              (ending, p) = (end, bytes + next)
              break cells
            }
          }
        }
        let cell = try scanner.cell(p - bytes, line: scanner.line + newlines, column: column + 1)
        if cell.ending == .window { return rollBack() }
        if slots[column].role != .ignored { try take(cell.text, column, line: scanner.line + newlines) }
        newlines += cell.newlines
        p = bytes + cell.next
        ending = cell.ending
        if ending != .delimiter { break }
        column += 1
      }
      guard column == slotCount - 1 else {
        let cells = column + 1
        throw FileError(
          path,
          "line \(scanner.line) has \(cells) \(cells == 1 ? "cell" : "cells"), where the \(options.hasHeader ? "header" : "first line") has \(slotCount)"
        )
      }
      scanner.place = p - bytes
      scanner.line += newlines + 1
      rows += 1
      if ending == .file { return true }
    }
    return true
  }

  /// The window ended within a line, which will be read anew.
  private func rollBack() -> Bool {
    for text in texts { text?.truncate(rows) }
    return scanner.isAtEnd
  }

  /// A cell that is not plainly a number.
  private func take(_ text: UnsafeBufferPointer<UInt8>, _ column: Int, line: Int) throws {
    switch slots[column].role {
    case .ignored, .spoilt: return
    case .texts: return try texts[column]!.append(text)
    case .numbers: break
    }
    if missing.contains(where: { $0.elementsEqual(text) }) {
      slots[column].values![rows] = .nan
      return
    }
    if let number = number(text) {
      slots[column].values![rows] = number
      return
    }
    let shown = CellScanner.shown(text)
    guard !isFixed, !declared.contains(column) else {
      let hint =
        declared.contains(column)
        ? "" : ": say types = { [\"\(fileNames[column])\"] = \"text\" } if it is text"
      throw scanner.failure(line, column + 1, "\(shown) in the column '\(fileNames[column])' is no number\(hint)")
    }
    let reason = "line \(line), column \(column + 1): \(shown)"
    guard rows == 0, rowsBefore == 0 else {
      spoilt[column] = reason
      slots[column].role = .spoilt
      return
    }
    reasons[column] = reason
    slots[column].role = .texts
    piles[column] = nil
    texts[column] = try TextColumn()
    try texts[column]!.append(text)
  }

  /// The number that a cell is, maybe with blanks around it.
  private func number(_ text: UnsafeBufferPointer<UInt8>) -> Double? {
    // Behind it there must be something that continues no number.
    guard text.count <= 1024 else { return nil }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: text.count + 16) { copy in
      copy.initialize(repeating: 0)
      _ = UnsafeMutableBufferPointer(rebasing: copy[..<text.count]).update(fromContentsOf: text)
      let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
      guard let first = text.firstIndex(where: { !isBlank($0) }), let last = text.lastIndex(where: { !isBlank($0) }) else { return nil }
      copy[last + 1] = 0
      var value = 0.0
      guard let end = parser.number(UnsafePointer(copy.baseAddress! + first), &value) else { return nil }
      return end == copy.baseAddress! + last + 1 ? value : nil
    }
  }
}
