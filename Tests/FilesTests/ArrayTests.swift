// Arrays that NumPy wrote (see scripts/fixtures/readers.py), and what it would not have written.

import Files
import Foundation
import Tensors
import Testing

@Suite struct ArrayTests {
  @Test(arguments: [
    ("f2", DType.float16), ("f4", .float32), ("f8", .float64), ("i1", .int8), ("i2", .int16), ("i4", .int32), ("i8", .int64),
    ("u1", .uint8),
    ("u2", .int32), ("u4", .int64), ("b1", .bool), ("big", .float32), ("big_u2", .int32), ("columns", .float32), ("version2", .float64),
    ("version3", .float64),
  ]) func everyDType(_ name: String, _ dtype: DType) throws {
    let sizes: [String: Double] = ["u1": 256, "u2": 65536, "u4": 4_294_967_296, "big_u2": 65536]
    let wrapped = sizes[name] ?? 0
    let expected: [Double] = name == "b1" ? [1.0, 1, 0, 1, 1, 1] : [wrapped - 2, wrapped - 1, 0, 1, 2, 3]
    for tensor in [try NumPyFile.read("\(fixtures)/\(name).npy"), try NumPyFile.map("\(fixtures)/\(name).npy")] {
      #expect(tensor.dtype == dtype)
      #expect(tensor.shape.array == [2, 3])
      #expect(tensor.isContiguous)
      #expect(tensor.doubles == expected)
    }
  }

  @Test func shapes() throws {
    #expect(try NumPyFile.read("\(fixtures)/scalar.npy").item().real == 2.5)
    #expect(try NumPyFile.read("\(fixtures)/empty.npy").shape.array == [0, 3])
    #expect(try NumPyFile.map("\(fixtures)/empty.npy").shape.array == [0, 3])
  }

  @Test func mappedElementsOutliveTheFile() throws {
    try withFolder { folder in
      let path = folder + "/a.npy"
      try OutputFile.write([], to: path)
      let bytes = try NumPyFile.encoded(.arange(.integer(0), .integer(100_000), .integer(1)))
      try bytes.withUnsafeBytes { try OutputFile.write([$0], to: path) }
      let tensor = try NumPyFile.map(path)
      let view = try tensor.narrow(0, 50_000, 2)
      view.setElement(0, .integer(-1)); view.setElement(1, .integer(-1))
      // What was written is in memory alone; the file's successor is another file.
      #expect(try NumPyFile.read(path).element(50_000) == .integer(50_000))
      try OutputFile.write([], to: path)
      #expect(tensor.element(49_999) == .integer(49_999))
      #expect(tensor.element(50_001) == .integer(-1))
    }
  }

  @Test func refused() throws {
    func message(_ body: () throws -> Void) -> String {
      do { try body() } catch { return "\(error)" }
      return "nothing was thrown"
    }
    for (name, text) in [
      "object": "Python objects", "structured": "structured", "complex": "complex", "text": "text", "u8": ".astype(\"int64\")",
      "time": "times",
    ] {
      let path = "\(fixtures)/refused_\(name).npy"
      let found = message { _ = try NumPyFile.read(path) }
      #expect(found.hasPrefix(path) && found.contains(text), "\(found)")
    }
    try withFolder { folder in
      let path = folder + "/a.npy"
      func npy(_ description: String, elements: Int = 0) -> String {
        let text = Array((description + "\n").utf8)
        let bytes =
          [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.count & 255), UInt8(text.count >> 8)] + text
          + [UInt8](repeating: 0, count: elements)
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        return message { _ = try NumPyFile.read(path) }
      }
      func of(_ shape: String) -> String { npy("{'descr': '<f4', 'fortran_order': False, 'shape': \(shape), }", elements: 8) }
      #expect(of("(2,)") == "nothing was thrown")
      #expect(of("(3,)") == "\(path): an array of shape [3] with elements '<f4' has 12 bytes, and the file has 8 for it")
      #expect(of("(1099511627776, 1099511627776)").contains("load_npy"))
      #expect(of("(99999999999999999999,)").contains("larger than any memory"))
      #expect(of("(4611686018427387905, 4)").contains("load_npy"))
      #expect(of("(-1,)") == "\(path): byte 61: a size of the array is missing here")
      #expect(of("(1,1,1,1,1,1,1,1,2)").contains("8"))
      #expect(npy("{'descr': '<f4'}").contains("lacks"))
      #expect(npy("{'descr': '<f4', 'descr': '<f4'}").contains("comes twice"))
      #expect(npy("{").contains("byte"))
    }
  }

  @Test(arguments: ["stored", "packed"]) func archives(_ name: String) throws {
    let archive = try NumPyArchive("\(fixtures)/\(name).npz")
    #expect(archive.names == ["x", "y", "folder/z"])
    #expect(try archive.array("x")?.doubles == [-2, -1, 0, 1, 2, 3])
    #expect(try archive.array("y")?.doubles == (0..<1000).map(Double.init))
    #expect(try archive.array("folder/z")?.shape.array == [0])
    #expect(try archive.array("nothing") == nil)
  }

  @Test(arguments: [false, true]) func archivesBothWays(_ compressed: Bool) throws {
    try withFolder { folder in
      let path = folder + "/a.npz"
      let arrays = [("a", try Tensor([1.5, 2])), ("b c", try Tensor([3, 4])), ("ü", try Tensor([], shape: [0, 2]))]
      try NumPyArchive.write(arrays, to: path, compressed: compressed)
      let archive = try NumPyArchive(path)
      #expect(archive.names == ["a", "b c", "ü"])
      for (name, tensor) in arrays {
        let read = try #require(try archive.array(name))
        #expect(read.doubles == tensor.doubles && read.shape == tensor.shape && read.dtype == tensor.dtype)
      }
      #expect(throws: FileError.self) { try NumPyArchive.write([("../a", try Tensor([1]))], to: path) }
      #expect(throws: FileError.self) { try NumPyArchive.write([("a", try Tensor([1])), ("a", try Tensor([1]))], to: path) }
      #expect(try NumPyArchive(path).names.count == 3)  // the failures left what was there
    }
  }

  /// What a hostile archive does, as changes of a good one's bytes: two members, x and y, stored.
  @Test func hostileArchives() throws {
    try withFolder { folder in
      let path = folder + "/a.zip"
      let writer = try ZipWriter(path)
      try [UInt8](1...8).withUnsafeBytes { try writer.add("x", [$0]) }
      try [UInt8](repeating: 0, count: 5000).withUnsafeBytes { try writer.add("y", [$0], packed: true) }
      try writer.finish()
      let good = try InputFile(path).contents()
      let list = try #require(good.indices.first { good[$0...].starts(with: [0x50, 0x4b, 1, 2]) })
      let second = list + 46 + 1
      func message(_ change: (inout [UInt8]) -> Void) throws -> String {
        var bytes = good
        change(&bytes)
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        do {
          let archive = try ZipArchive(path)
          for member in archive.members { _ = try archive.contents(member) }
        } catch { return "\(error)".replacing(path + ": ", with: "") }
        return ""
      }
      #expect(try message { _ in } == "")
      #expect(try message { $0[list + 8] |= 1 } == "its member 'x' is encrypted")
      #expect(try message { $0[list + 10] = 12 }.hasPrefix("its member 'x' is packed by method 12"))
      #expect(try message { $0[list + 16] ^= 1 }.hasPrefix("its member 'x' is damaged: its checksum is"))
      #expect(try message { $0[31] ^= 1 }.contains("checksum"))
      #expect(try message { $0[second + 46] = 0x78 }.contains("does not begin where the list says"))
      #expect(try message { $0[list + 46] = 0x2f }.hasPrefix("member 1 of the archive: its name, '/', leads out"))
      // The second member at the first one's place, which is called x too then; and sizes that cannot be.
      #expect(
        try message {
          $0[second + 46] = 0x78; $0.replaceSubrange(second + 42..<second + 46, with: [0, 0, 0, 0])
        } != "")
      #expect(try message { $0[second + 27] = 0x7f }.contains("cannot have"))
      #expect(try message { $0[second + 24] &+= 1 } == "its member 'y' has fewer bytes than the 5001 announced")
      #expect(try message { $0[second + 24] &-= 1 } == "its member 'y' has more bytes than the 4999 announced")
      #expect(try message { $0[list + 45] = 0x7f }.contains("does not lie before the list"))
      #expect(try message { $0.removeLast() }.hasPrefix("is no zip archive"))
    }
  }
}
