// What there is to say about a CSV file before it is read.

/// How a CSV file is written, and what is wanted of it.
public struct CSVOptions: Sendable {
  /// Whether the first line has the columns' names. Without, they are called 1, 2, ….
  public var hasHeader = true
  /// What stands between cells. Blanks around a cell's number, and around names, count for nothing.
  public var delimiter = UInt8(ascii: ",")
  /// What stands around cells that have delimiters, ends of lines or quotes (doubled) in them; nil for nothing.
  public var quote: UInt8? = UInt8(ascii: "\"")
  /// Lines before the header that are left out.
  public var skippedLines = 0
  /// Lines that begin with it are left out.
  public var comment: UInt8?
  /// The columns that are wanted, in this order; nil for all.
  public var columns: [Choice]?
  /// Cells of numbers that are NaN. As pandas' list, and without regard to quotes.
  public var missing = [
    "", "NA", "N/A", "n/a", "nan", "NaN", "-nan", "-NaN", "null", "NULL", "None", "<NA>", "#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND",
    "1.#QNAN", "-1.#QNAN",
  ]
  /// What columns are, by name; of others it is found out: numbers, unless a cell is none.
  public var types: [String: Kind] = [:]
  /// At most so many rows.
  public var mostRows = Int.max
  /// Lines longer than this are refused, in bytes; so are quotes that never end.
  public var longestLine = 64 << 20
  /// More columns than this are refused.
  public static let mostColumns = 1_000_000

  /// A header, commas and double quotes; all columns and rows.
  public init() {}

  /// A column, by its name or its place.
  public enum Choice: Sendable, Equatable {
    case name(String)
    /// From 0.
    case position(Int)
  }

  /// What a column is.
  public enum Kind: Sendable {
    case numbers, texts
  }
}
