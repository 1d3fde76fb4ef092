// Writing CSV files.

import Tensors

/// Writes a CSV file line by line; see ``OutputFile`` for what a failure leaves.
public final class CSVWriter {
  private let file: OutputFile
  private let delimiter: UInt8
  private var line: [UInt8] = []
  private var isFirst = true
  /// Where the line under way begins.
  private var start = 0

  /// Begins a file; `isSynced` says whether it is on the disk when it replaces what was there. Throws where none can be made.
  public init(_ path: String, delimiter: UInt8 = UInt8(ascii: ","), isSynced: Bool = true) throws {
    file = try OutputFile(path, isSynced: isSynced)
    self.delimiter = delimiter
    line.reserveCapacity(1 << 16)
  }

  private func begin() {
    if !isFirst { line.append(delimiter) }
    isFirst = false
  }

  /// A cell of text, within quotes where it needs them.
  public func add(_ text: some Collection<UInt8>) {
    begin()
    let needsQuotes = text.contains { $0 == delimiter || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }
    guard needsQuotes || text.first == 0x20 || text.count > 0 && Array(text.suffix(1)) == [0x20] else { return line += text }
    line.append(UInt8(ascii: "\""))
    for byte in text {
      if byte == UInt8(ascii: "\"") { line.append(byte) }
      line.append(byte)
    }
    line.append(UInt8(ascii: "\""))
  }

  /// An element of that dtype, in the fewest digits that read as the same; NaN is an empty cell.
  public func add(_ element: Scalar, _ dtype: DType) {
    begin()
    switch element {
    case .integer(let value): line += String(value).utf8
    case .boolean(let value): line += (value ? "True" : "False").utf8
    case .real(let value):
      if value.isNaN { return }
      line += (dtype == .float64 ? value.description : Float(value).description).utf8
    }
  }

  /// Ends the line.
  public func endLine() throws {
    // A line of one empty cell would be read as an empty line.
    if line.count == start { line += Array("\"\"".utf8) }
    line.append(UInt8(ascii: "\n"))
    isFirst = true
    if line.count >= 1 << 16 { try flush() }
    start = line.count
  }

  private func flush() throws {
    try file.write(line)
    line.removeAll(keepingCapacity: true)
  }

  /// Puts the file into its place.
  public func finish() throws {
    try flush()
    try file.finish()
  }

  /// Writes a header, unless `names` is nil, and columns side by side: vectors of one length, and texts.
  public static func write(
    _ columns: [DataTable.Column], names: [String]?, rows: Int, to path: String, delimiter: UInt8 = UInt8(ascii: ","),
    isSynced: Bool = true,
    while goesOn: () throws -> Void = {}
  ) throws {
    let writer = try CSVWriter(path, delimiter: delimiter, isSynced: isSynced)
    if let names {
      for name in names { writer.add(name.utf8) }
      try writer.endLine()
    }
    for row in 0..<rows {
      if row & 4095 == 0 { try goesOn() }
      for column in columns {
        switch column {
        case .numbers(let tensor): writer.add(tensor.element(row), tensor.dtype)
        case .texts(let texts): writer.add(texts.bytes(row))
        }
      }
      try writer.endLine()
    }
    try writer.finish()
  }
}
