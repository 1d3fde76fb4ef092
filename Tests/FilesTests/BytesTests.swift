// Files as bytes: reading at positions, and writing that leaves the old file or the new one.

import Files
import Foundation
import Testing

/// A folder that is gone after the test.
func withFolder(_ body: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("moongrad-files-\(UUID())").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  try body(folder)
}

@Suite struct BytesTests {
  @Test func writingAndReading() throws {
    try withFolder { folder in
      let path = folder + "/a"
      let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let file = try OutputFile(path)
      try file.write(Array(bytes[..<10]))
      try file.write(Array(bytes[10...]))
      #expect(throws: FileError.self) { try InputFile(path) }  // not before it is whole
      try file.finish()
      #expect(throws: FileError.self) { try file.finish() }
      let input = try InputFile(path)
      #expect(input.size == bytes.count)
      #expect(try input.contents() == bytes)
      #expect(try input.bytes(at: 77, count: 3) == Array(bytes[77..<80]))
      #expect(try input.bytes(at: bytes.count, count: 0) == [])
      #expect(throws: FileError.self) { try input.bytes(at: bytes.count - 2, count: 3) }
      #expect(throws: FileError.self) { try input.bytes(at: -1, count: 3) }
      #expect(throws: FileError.self) { try input.bytes(at: 8, count: .max) }
      #expect(throws: FileError.self) { try input.contents(most: 99_999) }
      let mapped = try MappedFile(path)
      #expect(mapped.bytes.elementsEqual(bytes))
      mapped.base!.storeBytes(of: 200, as: UInt8.self)
      #expect(try InputFile(path).bytes(at: 0, count: 1) == [0])  // what is written stays in memory
    }
  }

  @Test func givenUp() throws {
    try withFolder { folder in
      let path = folder + "/a"
      try OutputFile.write([], to: path)
      do {
        let file = try OutputFile(path)
        try file.write([1, 2, 3])
      }
      #expect(try InputFile(path).contents() == [])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])  // nothing is left behind
    }
  }

  @Test func whatCannotBe() throws {
    try withFolder { folder in
      func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return ""
      }
      #expect(message { _ = try InputFile(folder + "/none") } == "\(folder)/none: cannot be read: no such file or directory")
      #expect(message { _ = try InputFile(folder) } == "\(folder): cannot be read: is a directory")
      #expect(message { _ = try InputFile("") } == "the path is empty")
      #expect(message { _ = try OutputFile("a\0b") } == "the path has a zero byte in it")
      #expect(message { _ = try OutputFile(folder + "/no/where") } == "\(folder)/no/where: cannot be written: no such file or directory")
      #expect(message { _ = try OutputFile(folder) }.hasPrefix("\(folder): cannot be written"))
      #expect(message { _ = try MappedFile(folder) } == "\(folder): only regular files can be mapped into memory")
      // What is no regular file is written to, and not replaced.
      try OutputFile.write([], to: "/dev/null")
      // A symbolic link stays one.
      symlink(folder + "/target", folder + "/link")
      try OutputFile.write([], to: folder + "/target")
      let file = try OutputFile(folder + "/link")
      try file.write([5])
      try file.finish()
      #expect(try InputFile(folder + "/target").contents() == [5])
    }
  }

  @Test func numbers() throws {
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 0xc3, 0xa9, 0xff]
    try bytes.withUnsafeBytes { (bytes) throws in
      var reader = ByteReader(bytes, path: "x")
      #expect(try reader.littleEndian(UInt16.self) == 0x0201)
      #expect(try reader.bigEndian(UInt16.self) == 0x0304)
      #expect(try reader.littleEndian(UInt32.self) == 0x0807_0605)
      #expect(try reader.text(2) == "é")
      #expect(throws: FileError.self) { try reader.littleEndian(UInt64.self) }
      #expect(reader.position == 10)  // a read that failed moves nothing
      #expect(throws: FileError.self) { try reader.take(-1) }
      #expect(throws: FileError.self) { try reader.take(.max) }
      #expect(throws: FileError.self) { try reader.text(1) }
    }
  }
}
