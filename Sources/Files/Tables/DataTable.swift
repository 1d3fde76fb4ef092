// A table in memory: named columns of numbers or texts.

import Glibc
import Tensors

/// Columns of one length, each of numbers or of texts, as a CSV file has them.
public final class DataTable {
  /// What a column has.
  public enum Column {
    /// float64, `(rows)`; NaN where the cell was missing.
    case numbers(Tensor)
    case texts(TextColumn)
  }

  /// The file that it was read from, for errors.
  public let path: String
  /// The columns' names.
  public let names: [String]
  /// The columns, in the order of their names.
  public let columns: [Column]
  /// The length of every column.
  public let rowCount: Int
  /// For columns that are texts since a cell was no number: which, as `line 3, column 2: 'abc'`.
  private let reasons: [Int: String]
  private let places: [String: Int]

  init(_ path: String, _ names: [String], _ columns: [Column], rows: Int, reasons: [Int: String]) {
    (self.path, self.names, self.columns, self.reasons) = (path, names, columns, reasons)
    rowCount = rows
    places = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
  }

  /// The column of that name, counted from 0.
  public func position(of name: String) -> Int? { places[name] }

  /// A column's numbers, float64 `(rows)`. Throws for texts, and says why they are none.
  public func numbers(_ column: Int) throws -> Tensor {
    switch columns[column] {
    case .numbers(let tensor): return tensor
    case .texts:
      let reason = reasons[column].map { ": \($0) is no number" } ?? ""
      throw FileError(path, "the column '\(names[column])' has text\(reason)")
    }
  }

  /// Columns side by side, `(rows, columns)`, row-major.
  public func matrix(_ chosen: [Int], dtype: DType = .float32) throws -> Tensor {
    let sources = try chosen.map { try numbers($0) }
    guard dtype == .float32 || dtype == .float64 else {
      return try withNoGrad { try matrix(chosen, dtype: .float64).to(dtype) }
    }
    let width = chosen.count
    let result = try Tensor(uninitialized: Shape([rowCount, width]), dtype)
    func fill<T: BinaryFloatingPoint>(_: T.Type, _ convert: (Double) -> T) {
      let target = result.data.assumingMemoryBound(to: T.self)
      // A part of the rows at a time, so that what is written stays in the caches for all columns.
      let part = 256
      for first in stride(from: 0, to: rowCount, by: part) {
        let end = min(rowCount, first + part)
        for (column, source) in sources.enumerated() {
          let values = source.data.assumingMemoryBound(to: Double.self)
          var place = target + first * width + column
          for row in first..<end {
            place.pointee = convert(values[row])
            place += width
          }
        }
      }
    }
    withExtendedLifetime(sources) {
      if dtype == .float32 { fill(Float.self) { Float($0) } } else { fill(Double.self) { $0 } }
    }
    return result
  }

  /// The classes of a column, sorted, and which of them each row has, from 0: int64, `(rows)`. Texts are sorted by their bytes and
  /// numbers by size. Throws where a cell is missing.
  public func labels(_ column: Int) throws -> (labels: Tensor, classes: [String]) {
    let labels = try Tensor(uninitialized: Shape([rowCount]), .int64)
    let target = labels.data.assumingMemoryBound(to: Int64.self)
    func missing(_ row: Int) -> FileError {
      FileError(path, "row \(row + 1) has nothing in the column '\(names[column])', so that it has no label")
    }
    switch columns[column] {
    case .texts(let texts):
      var found: [String: Int64] = [:]
      for row in 0..<rowCount {
        let text = texts[row]
        guard !text.isEmpty else { throw missing(row) }
        let number = found[text] ?? Int64(found.count)
        if number == Int64(found.count) { found[text] = number }
        target[row] = number
      }
      // In the order of bytes, which no locale changes.
      let classes = found.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      var order = [Int64](repeating: 0, count: classes.count)
      for (place, name) in classes.enumerated() { order[Int(found[name]!)] = Int64(place) }
      for row in 0..<rowCount { target[row] = order[Int(target[row])] }
      return (labels, classes)
    case .numbers(let numbers):
      let values = numbers.data.assumingMemoryBound(to: Double.self)
      return try withExtendedLifetime(numbers) {
        for row in 0..<rowCount where values[row].isNaN { throw missing(row) }
        let classes = Set(UnsafeBufferPointer(start: values, count: rowCount)).sorted()
        let places = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, Int64($0)) })
        for row in 0..<rowCount { target[row] = places[values[row]]! }
        return (labels, classes.map(DataTable.text))
      }
    }
  }

  /// The shortest text that reads as the same number; whole numbers without a point.
  static func text(_ number: Double) -> String {
    if let whole = Int64(exactly: number), whole.magnitude < 1 << 53 { return String(whole) }
    return number.description
  }
}
