// Lines, JSON Lines and IDX, and what pandas and gzip wrote (see scripts/fixtures/readers.py).

@testable import Files
import Foundation
import Tensors
import Testing

@Suite struct TextTests {
  @Test(arguments: ["table.csv", "windows.csv", "table.csv.gz"]) func pandas(_ name: String) throws {
    var options = CSVOptions()
    if name == "windows.csv" { options.delimiter = UInt8(ascii: ";") }
    let table = try CSVReader.read("\(fixtures)/\(name)", options)
    #expect(table.names == ["size", "count", "kind"])
    let sizes = try table.numbers(0).doubles
    #expect(sizes[0] == 1.5 && sizes[1].isNaN && sizes[2] == -3e-5 && sizes[3] == 12345678.90123)
    #expect(try table.numbers(1).doubles == [1, 2, 3, 4])
    guard case .texts(let texts) = table.columns[2] else { Issue.record("no texts"); return }
    #expect((0..<4).map { texts[$0] } == ["a, b", "the \"c\"", "d\ne", "é"])
  }

  @Test func streamsOfGzip() throws {
    #expect(try CSVReader.read("\(fixtures)/twice.csv.gz").numbers(0).doubles == [1, 2, 3])
    try withFolder { folder in
      let path = folder + "/a.gz"
      let good = try InputFile("\(fixtures)/twice.csv.gz").contents()
      func found(_ bytes: [UInt8]) -> String {
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        return message(path) { _ = try CSVReader.read(path) }
      }
      #expect(found(good + [0, 0, 0]) == "nothing was thrown")
      #expect(found(good + [1]) == "byte \(good.count) of the gzipped file: after the end of what was packed there is something else")
      #expect(found(good.dropLast()) == "byte \(good.count - 1) of the gzipped file: it ends before what was packed does")
      #expect(found(good.dropLast(5) + [9, 9, 9, 9, 9]).contains("incorrect"))
    }
  }

  @Test(arguments: [("u1", DType.uint8), ("i1", .int8), ("i2", .int16), ("i4", .int32), ("f4", .float32), ("f8", .float64)])
  func idx(_ name: String, _ dtype: DType) throws {
    let tensor = try IDXFile.read("\(fixtures)/\(name).idx")
    #expect(tensor.dtype == dtype && tensor.shape.array == [2, 3])
    #expect(tensor.doubles == (name == "u1" ? [254, 255, 0, 1, 2, 3] : [-2, -1, 0, 1, 2, 3]))
  }

  @Test func idxThatIsNone() throws {
    #expect(try IDXFile.read("\(fixtures)/u1.idx.gz").doubles == [254, 255, 0, 1, 2, 3])
    try withFolder { folder in
      let path = folder + "/a.idx"
      func found(_ bytes: [UInt8]) -> String {
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        return message(path) { _ = try IDXFile.read(path) }
      }
      #expect(found([0, 0, 8, 1, 0, 0, 0, 2, 7, 7]) == "nothing was thrown")
      #expect(found([0, 0, 8, 1, 0, 0, 0, 2, 7]) == "an array of shape [2] and uint8 has 2 bytes, more than the file can have")
      #expect(found([0, 0, 8, 1, 0, 0, 0, 2, 7, 7, 7]) == "goes on after the 2 bytes of an array of shape [2]")
      #expect(found([0, 0, 7, 1, 0, 0, 0, 2, 7]) == "byte 2: there is no type of elements 7 in IDX files")
      #expect(found([1, 0, 8, 1]) == "is no IDX file: its first two bytes are not 0")
      #expect(found([0, 0, 8, 3, 0]).hasPrefix("ends within the sizes of the array"))
      #expect(found([0, 0, 14, 3] + [UInt8](repeating: 255, count: 12)).contains("read_idx"))
    }
  }

  @Test func lines() throws {
    try withFolder { folder in
      let path = folder + "/a"
      let long = String(repeating: "x", count: 200_000)
      for (text, expected) in [
        ("", []), ("\n", [""]), ("a", ["a"]), ("a\r\nb\n\nc\r", ["a", "b", "", "c\r"]), ("\u{feff}a\n\(long)\nb", ["a", long, "b"]),
      ] {
        _ = FileManager.default.createFile(atPath: path, contents: Data(text.utf8))
        let reader = try LineReader(path)
        var found: [String] = []
        while let line = try reader.next({ String(decoding: $0, as: UTF8.self) }) { found.append(line) }
        #expect(found == expected)
        #expect(reader.number == expected.count)
      }
      #expect(
        message(path) {
          let reader = try LineReader(path, longestLine: 100_000)
          while try reader.next({ _ in }) != nil {}
        } == "line 2 is longer than the 100000 bytes that are read")
    }
  }

  @Test func jsonLines() throws {
    let reader = try JSONLinesReader("\(fixtures)/lines.jsonl")
    #expect(try reader.next() == JSON("{\"text\": \"é\\n\", \"label\": 1, \"scores\": [0.5, null, -1e3]}"))
    #expect(try reader.next() == JSON("{\"label\": true}"))
    #expect(try reader.next() == .array([]))
    #expect(try reader.next() == nil)
    try withFolder { folder in
      let path = folder + "/a"
      _ = FileManager.default.createFile(atPath: path, contents: Data("{}\n\n[1,]\n".utf8))
      let reader = try JSONLinesReader(path)
      #expect(message(path) { while try reader.next() != nil {} }.hasPrefix("line 3, column 4: "))
    }
  }
}
