// A table of a run's numbers, a line for each step, for spreadsheets and for reading back.

import Files

/// Writes rows of named values into a CSV file (RFC 4180), each handed to the system as it is added.
public final class CSVLogger {
  /// A value of a row.
  public enum Cell: Equatable, Sendable {
    /// A number, as precise as it is.
    case number(Double)
    /// A whole number.
    case integer(Int)
    /// A text, quoted where it has to be.
    case text(String)
    /// `true` or `false`.
    case boolean(Bool)

    var text: String {
      switch self {
      case .number(let number): number.isNaN ? "nan" : number.isInfinite ? (number < 0 ? "-inf" : "inf") : "\(number)"
      case .integer(let integer): String(integer)
      case .boolean(let flag): flag ? "true" : "false"
      case .text(let text):
        text.contains { ",\"\n\r".contains($0) || $0 == "\r\n" }
          ? "\"\(text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"" : text
      }
    }
  }

  /// The file.
  public let path: String
  /// The columns, in order; empty until the first row where none were given.
  public private(set) var columns: [String]
  private let file: LogFile

  /// Begins a file, or goes on with one that has the same columns where `appends`. Without `columns` the first row names them:
  /// step and epoch first, the others by alphabet.
  public init(_ path: String, columns: [String] = [], appends: Bool = false) throws {
    self.path = path
    self.columns = columns
    guard Set(columns).count == columns.count else { throw FileError(path, "a column comes a second time") }
    // The first line of what there is, which is short.
    var known = ""
    if appends, let input = try? InputFile(path) {
      let start = try input.bytes(at: 0, count: min(input.size ?? 0, 1 << 16))
      known = String(decoding: start.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
    }
    file = try LogFile(path, appends: appends, makesFolders: true)
    if known.isEmpty {
      if !columns.isEmpty { try writeLine(columns.map(Cell.text)) }
    } else {
      let found = CSVLogger.cells(of: known)
      guard columns.isEmpty || columns == found else {
        throw FileError(path, "has the columns \(found.joined(separator: ", ")), not \(columns.joined(separator: ", "))")
      }
      self.columns = found
    }
  }

  /// The cells of a line of ours.
  private static func cells(of line: String) -> [String] {
    var cells = [""]
    var isQuoted = false
    for character in line {
      if character == "\"" { isQuoted.toggle() }
      if character == ",", !isQuoted { cells.append("") } else { cells[cells.count - 1].append(character) }
    }
    return cells.map { cell in
      cell.hasPrefix("\"")
        ? String(cell.dropFirst().dropLast()).split(separator: "\"\"", omittingEmptySubsequences: false).joined(separator: "\"") : cell
    }
  }

  private func writeLine(_ cells: [Cell?]) throws {
    try file.write(Array((cells.map { $0?.text ?? "" }.joined(separator: ",") + "\n").utf8))
  }

  /// Adds a row; columns that it does not name stay empty. Throws for a name that is no column.
  public func log(_ row: [String: Cell]) throws {
    if columns.isEmpty {
      let first = ["step", "epoch"].filter { row[$0] != nil }
      columns = first + row.keys.filter { !first.contains($0) }.sorted()
      guard !columns.isEmpty else { throw FileError(path, "a row without values has no columns") }
      try writeLine(columns.map(Cell.text))
    }
    if let unknown = row.keys.sorted().first(where: { !columns.contains($0) }) {
      throw FileError(
        path, "there is no column '\(unknown)' (there is \(columns.joined(separator: ", "))): name all of them when it is opened")
    }
    try writeLine(columns.map { row[$0] })
  }

  /// Ends the file.
  public func close() { file.close() }
}
