// Event files as TensorBoard's own classes write them, and files that grow.

import Files
import Foundation
import Testing

@Suite struct LogTests {
  /// Of Fixtures/metrics.jsonl, where scripts/fixtures/metrics.py puts them.
  private static func events() throws -> [String: Any] {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../TrainingTests/Fixtures/metrics.jsonl")
    let line = try String(contentsOf: path, encoding: .utf8).split(separator: "\n").first { $0.hasPrefix("{\"kind\": \"events\"") }
    let text = try #require(line)
    return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
  }

  @Test func records() throws {
    let events = try LogTests.events()
    let time = try #require(events["time"] as? Double)
    func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
    func expect(_ name: String, _ bytes: [UInt8]) { #expect(hex(bytes) == events[name] as? String, "\(name)") }
    expect("version", EventRecord.bytes(.version, time: time))
    expect("scalar", EventRecord.bytes(.scalar(0.1), tag: "loss/train", step: 300, time: time))
    expect("first", EventRecord.bytes(.scalar(-2), tag: "a", time: time))
    expect("text", EventRecord.bytes(.text("**hi** ü"), tag: "note", step: 1, time: time))
    let histogram = EventRecord.Histogram(
      minimum: -1.5, maximum: 3, count: 4, sum: 2.25, sumOfSquares: 12.5, limits: [-1, 0, 4], counts: [1, 1, 2])
    expect("histogram", EventRecord.bytes(.histogram(histogram), tag: "w", step: 7, time: time))
  }

  @Test func growing() throws {
    try withFolder { folder in
      let path = folder + "/a/b/log"
      let file = try LogFile(path, makesFolders: true)
      try file.write([1, 2])
      #expect(try InputFile(path).contents() == [1, 2])  // at once
      file.close()
      file.close()
      #expect(throws: FileError.self) { try file.write([3]) }
      let more = try LogFile(path, appends: true)
      try more.write([3])
      #expect(try InputFile(path).contents() == [1, 2, 3])
      _ = try LogFile(path)
      #expect(try InputFile(path).contents() == [])
      #expect(throws: FileError.self) { try LogFile.makeFolder(path) }
    }
  }
}
