// CSV files: cells, quotes, ends of lines, what columns are, and what is wrong with files.

@testable import Files
import Foundation
import Tensors
import Testing

/// What an error says, without the path.
func message(_ path: String, _ body: () throws -> Void) -> String {
  do { try body() } catch { return path.isEmpty ? "\(error)" : "\(error)".replacing(path + ": ", with: "") }
  return "nothing was thrown"
}

@Suite struct CSVTests {
  /// A table of a text, as columns of numbers or strings.
  func read(_ text: String, _ change: (inout CSVOptions) -> Void = { _ in }) throws -> DataTable {
    var table: DataTable?
    try withFolder { folder in
      _ = FileManager.default.createFile(atPath: folder + "/a.csv", contents: Data(text.utf8))
      var options = CSVOptions()
      change(&options)
      do { table = try CSVReader.read(folder + "/a.csv", options) } catch let error as FileError { throw FileError("", error.problem) }
    }
    return table!
  }

  func texts(_ table: DataTable, _ column: Int) -> [String]? {
    guard case .texts(let texts) = table.columns[column] else { return nil }
    return (0..<texts.count).map { texts[$0] }
  }

  @Test func cells() throws {
    let table = try read("a,b , c\n1, 2 ,x\n-.5e3,+4.,\"y, \"\"z\"\"\nw\"\n\"7\",inf,\n")
    #expect(table.names == ["a", "b", "c"])
    #expect(try table.numbers(0).doubles == [1, -500, 7])
    #expect(try table.numbers(1).doubles == [2, 4, .infinity])
    #expect(texts(table, 2) == ["x", "y, \"z\"\nw", ""])
    #expect(try table.matrix([1, 0]).doubles == [2, 1, 4, -500, .infinity, 7])
  }

  @Test(arguments: ["\n", "\r\n", "\r"]) func endsOfLines(_ end: String) throws {
    for last in ["", end, end + end] {
      let table = try read("\u{feff}a,b" + end + "1,2" + end + end + "3,\"x\(end)y\"" + last)
      #expect(table.names == ["a", "b"])
      #expect(try table.numbers(0).doubles == [1, 3])
      #expect(texts(table, 1) == ["2", "x\(end)y"])
    }
  }

  @Test func options() throws {
    #expect(try read("1\t2\n3\t4\n") { ($0.delimiter, $0.hasHeader) = (9, false) }.names == ["1", "2"])
    #expect(
      try read("# by hand\n\na;b\n# more\n1;2\n") { ($0.delimiter, $0.comment) = (UInt8(ascii: ";"), UInt8(ascii: "#")) }.matrix([0, 1])
        .doubles == [1, 2])
    let chosen = try read("a,b,c\n1,x,3\n4,y,6\n") { $0.columns = [.name("c"), .position(0)] }
    #expect(chosen.names == ["c", "a"])
    #expect(try chosen.matrix([0, 1]).doubles == [3, 1, 6, 4])
    #expect(try read("head\nline\na\n1\n") { $0.skippedLines = 2 }.names == ["a"])
    #expect(try read("a\n1\n2\n3\n") { $0.mostRows = 2 }.rowCount == 2)
    #expect(texts(try read("a\n'x\n'\n") { $0.quote = UInt8(ascii: "'") }, 0) == ["x\n"])
    #expect(texts(try read("a\n\"x\n") { $0.quote = nil }, 0) == ["\"x"])
    #expect(texts(try read("a\n1\n") { $0.types = ["a": .texts] }, 0) == ["1"])
    let missing = try read("a\n\n-9\nNA\n1\n") { $0.missing = ["-9", "NA"] }.numbers(0).doubles
    #expect(missing[0].isNaN && missing[1].isNaN && missing[2] == 1)
    #expect(try read("a,a,,a\n1,2,3,4\n").names == ["a", "a.1", "3", "a.2"])
    #expect(try read("a,b\n").rowCount == 0)
  }

  /// A column turns out to be text only far down, so that all before it is read again.
  @Test func lateText() throws {
    let count = 300_000
    let text = "x,y\n" + (0..<count).map { "\($0),\($0 == count - 2 ? "n.a." : "007")\n" }.joined()
    let table = try read(text)
    #expect(table.rowCount == count)
    #expect(try table.numbers(0).doubles == (0..<count).map(Double.init))
    #expect(texts(table, 1)?[0] == "007" && texts(table, 1)?[count - 2] == "n.a.")
    #expect(
      message("") { _ = try table.numbers(1) }.hasSuffix("a.csv: the column 'y' has text: line \(count), column 2: 'n.a.' is no number"))
  }

  @Test func labels() throws {
    let table = try read("kind,size\nb,10\na,2\nb,2\n")
    let (labels, classes) = try table.labels(0)
    #expect(labels.doubles == [1, 0, 1] && labels.dtype == .int64 && classes == ["a", "b"])
    #expect(try table.labels(1).classes == ["2", "10"])
    #expect(
      message("") { _ = try read("kind\n\"\"\nb\n").labels(0) }.hasSuffix("row 1 has nothing in the column 'kind', so that it has no label")
    )
  }

  @Test func refused() throws {
    func found(_ text: String, _ change: (inout CSVOptions) -> Void = { _ in }) -> String { message("") { _ = try read(text, change) } }
    #expect(found("a,b\n1,2\n3\n") == "line 3 has 1 cell, where the header has 2")
    #expect(found("a,b\n\"1\n\",2\n3,4,5\n") == "line 4, column 3: a cell more than the 2 of the header")
    #expect(found("a,b\n1,\"2\n3\n") == "line 2, column 2: the quote that opens here is never closed")
    #expect(found("a,b\n1,\"2\"3\n") == "line 2, column 2: behind the closing quote there is '3', where ',' or the line's end is expected")
    #expect(found("a,b\n1,x\n") { $0.types = ["b": .numbers] } == "line 2, column 2: 'x' in the column 'b' is no number")
    #expect(found("") == "is empty: there is no line with the names of columns")
    #expect(found("a,b\n") { $0.columns = [.name("c")] } == "there is no column 'c'; there are 'a', 'b'")
    #expect(found("a,b\n") { $0.columns = [.position(2)] } == "there is no column 3; there are 2")
    #expect(found("a,b\n") { $0.delimiter = UInt8(ascii: "1") }.hasPrefix("delimiter, quote and comment"))
    let long = "a\n\"" + String(repeating: "x", count: 5_000_000)
    #expect(
      found(long) { $0.longestLine = 1_000_000 } == "line 2 is longer than the 1000000 bytes that are read; is a quote in it never closed?")
    #expect(found("\u{0}a,b").isEmpty == false)
  }

  @Test func inParts() throws {
    try withFolder { folder in
      let path = folder + "/a.csv"
      let text = "x,kind\n" + (0..<10_000).map { "\($0),\"k\n\($0 % 3)\"\n" }.joined()
      _ = FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
      let reader = try CSVReader.stream(path)
      var (all, kinds, sizes) = ([Double](), [String](), [Int]())
      while let table = try reader.next(3001) {
        sizes.append(table.rowCount)
        all += try table.numbers(0).doubles
        kinds += texts(table, 1) ?? []
      }
      #expect(sizes == [3001, 3001, 3001, 997])
      #expect(all == (0..<10_000).map(Double.init))
      #expect(kinds == (0..<10_000).map { "k\n\($0 % 3)" })
      _ = FileManager.default.createFile(atPath: path, contents: Data(("x\n" + String(repeating: "1\n", count: 2000) + "oh\n").utf8))
      let other = try CSVReader.stream(path)
      #expect(
        message(path) { while try other.next(500) != nil {} }.hasPrefix(
          "line 2002, column 1: 'oh' in the column 'x' is no number: say types"))
    }
  }

  /// Windows of numbers alone are read on several threads, and mean what they do line by line: with what is not all numbers at any place
  /// among them, whatever the lines end with, and where an error is.
  @Test(arguments: ["\n", "\r\n"], [1, 2, 3]) func manyNumbers(_ end: String, _ threads: Int) throws {
    let before = Threads.count
    Threads.count = threads
    defer { Threads.count = before }
    try withFolder { folder in
      let path = folder + "/a.csv"
      var random = SystemRandomNumberGenerator()
      let rows = 60_000
      let values = (0..<rows).map { _ in [Double.random(in: -1e6...1e6, using: &random), Double(Int.random(in: 0...9, using: &random))] }
      // Some 2 MB, in two windows. What is at those rows is no plain line.
      func text(_ odd: [Int: String]) -> String {
        "x,name,k" + end + values.enumerated().map { (odd[$0] ?? "\($1[0]),n\($0), \($1[1]) ") + end }.joined()
      }
      for odd in [[:], [0: ""], [29_999: "# no row"], [7: ",n,3", 20_000: "1,n,", 41_111: "5,\"a,b\",6"], [59_999: ",n,"]]
        as [[Int: String]]
      {
        _ = FileManager.default.createFile(atPath: path, contents: Data(text(odd).utf8))
        var options = CSVOptions()
        options.comment = UInt8(ascii: "#")
        let table = try CSVReader.read(path, options)
        var expected = values.map { [$0[0], $0[1]] }
        for (row, text) in odd where text.contains(",") {
          let cells = text.replacing("\"a,b\"", with: "n").split(separator: ",", omittingEmptySubsequences: false)
          expected[row] = [Double(cells[0]) ?? .nan, Double(cells[2]) ?? .nan]
        }
        for row in odd.keys.sorted().reversed() where !odd[row]!.contains(",") { expected.remove(at: row) }
        for (column, place) in [(0, 0), (2, 1)] {
          let found = try table.numbers(column).doubles
          #expect(found.count == expected.count)
          #expect(zip(found, expected).allSatisfy { $0 == $1[place] || $0.isNaN && $1[place].isNaN })
        }
        options.columns = [.name("k")]
        options.mostRows = 50_001
        let few = try CSVReader.read(path, options).numbers(0).doubles
        #expect(few.count == 50_001 && zip(few, expected).allSatisfy { $0 == $1[1] || $0.isNaN && $1[1].isNaN })
      }
      _ = FileManager.default.createFile(atPath: path, contents: Data(text([41_234: "1,n"]).utf8))
      #expect(message(path) { _ = try CSVReader.read(path) } == "line 41236 has 2 cells, where the header has 3")
    }
  }

  /// Numbers against Swift's own reading, which rounds correctly: of all lengths and sizes, near the middle between two doubles, and
  /// what is no number.
  @Test func numbers() throws {
    let parser = DecimalParser()
    func parsed(_ text: String) -> Double? {
      var bytes = Array(text.utf8)
      let count = bytes.count
      bytes += [UInt8](repeating: 0, count: 16)
      var value = 0.0
      return bytes.withUnsafeBufferPointer { bytes in
        guard let end = parser.number(bytes.baseAddress!, &value), end - bytes.baseAddress! == count else { return nil }
        return value
      }
    }
    var dice = Dice(1)
    var texts = [
      "0", "-0", "1", "9007199254740993", "9007199254740992.5", "1e22", "1e23", "4.9e-324", "2.4703282292062327e-324",
      "1.7976931348623157e308",
      "1e400", "-1e-400", "0.1", "18446744073709551615", "18446744073709551616", "00000000000000000000000000001.5",
      "123456789012345678e-27",
      "8.5e0", "5e-1", "179769313486231580793e289", "9223372036854775807.5", "1.", ".5", "0.000000000000000000000000000000000001",
    ]
    for _ in 0..<20_000 {
      let digits = (0..<Int.random(in: 1...22, using: &dice)).map { _ in String(Int.random(in: 0...9, using: &dice)) }.joined()
      let point = Int.random(in: 0...digits.count, using: &dice)
      let mantissa = digits.prefix(point) + (Bool.random(using: &dice) ? "." + digits.dropFirst(point) : "")
      if mantissa.isEmpty || mantissa == "." { continue }
      texts.append(mantissa + (Bool.random(using: &dice) ? "e\(Int.random(in: -35...35, using: &dice))" : ""))
      let value = Double(bitPattern: UInt64.random(in: 0...(.max), using: &dice))
      if value.isFinite { texts.append("\(value)") }
      // The middle between two doubles, which has no more than 19 digits here.
      let whole = UInt64.random(in: 1 << 53..<1 << 63, using: &dice)
      let step = UInt64(1) << UInt64(10 - whole.leadingZeroBitCount)
      texts.append(String((whole / (2 * step)) * 2 * step + step))
    }
    for text in texts where parsed(text)?.bitPattern != Double(text)?.bitPattern {
      Issue.record("\(text) is \(String(describing: parsed(text))), not \(String(describing: Double(text)))")
    }
    #expect(parsed("-inf") == -.infinity && parsed("Infinity") == .infinity && parsed("NaN")?.isNaN == true)
    for text in ["", "-", ".", "e5", "1e", "1e+", "1x", "--1", "1.2.3", "0x10", "in", "infinit"] { #expect(parsed(text) == nil, "\(text)") }
  }

  @Test func bothWays() throws {
    try withFolder { folder in
      let path = folder + "/a.csv"
      let table = try read("x,kind\n0.1,\"a, \"\"b\"\"\"\n,\" c \"\n-1e300,\"d\r\ne\"\n")
      try CSVWriter.write(table.columns, names: table.names, rows: table.rowCount, to: path)
      let again = try CSVReader.read(path)
      #expect(again.names == table.names && texts(again, 1) == texts(table, 1))
      #expect(try again.numbers(0).doubles.map(\.bitPattern) == table.numbers(0).doubles.map(\.bitPattern))
      let single: [DataTable.Column] = [.numbers(try Tensor([1, .nan, 0.1], dtype: .float32))]
      try CSVWriter.write(single, names: nil, rows: 3, to: path)
      #expect(String(decoding: try InputFile(path).contents(), as: UTF8.self) == "1.0\n\"\"\n0.1\n")
    }
  }
}
