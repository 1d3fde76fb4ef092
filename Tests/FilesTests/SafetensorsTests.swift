// `.safetensors`: bytes against those of the reference implementation, and files that lie.

import Files
import Foundation
import Tensors
import Testing

/// The folder of what scripts/fixtures/checkpoints.py wrote.
let checkpointFixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/checkpoints").path + "/"

/// What an error says, without the path before it; empty where there is none.
func problem(_ body: () throws -> Void) -> String {
  do { try body() } catch let error as FileError { return error.problem } catch { return "\(error)" }
  return ""
}

extension Tensor {
  /// Dtype, shape and the elements' bits.
  var content: String {
    "\(dtype) \(shape) " + scalars.map { $0.category == .floating ? String($0.real.bitPattern, radix: 16) : "\($0)" }.joined(separator: " ")
  }
}

@Suite struct SafetensorsTests {
  @Test func theReferencesBytes() throws {
    let path = checkpointFixtures + "reference.safetensors"
    let file = try SafetensorsFile(path)
    #expect(file.entries.count == 14)
    #expect(file.metadata.map(\.name) == ["format"])
    #expect(Set(file.entries.map(\.dtype)) == Set(DType.allCases))
    for entry in file.entries where entry.name.hasPrefix("t") {
      let expected: [Double] = entry.dtype == .bool ? [0, 1, 1, 1, 1, 0] : [0, 1, 2, 3, 4, 0]
      #expect(try file.tensor(entry).doubles == expected, "\(entry.name)")
    }
    #expect(try file.tensor(named: "a\u{8}\u{c}\u{1}\n\"é/").doubles == [2.5])
    try withFolder { folder in
      let copy = folder + "/a.safetensors"
      try SafetensorsFile.write(try file.tensors().shuffled(), metadata: file.metadata, to: copy)
      #expect(try InputFile(copy).contents() == InputFile(path).contents())
    }
  }

  @Test func severalFiles() throws {
    try withFolder { folder in
      let tensors = try (0..<9).map { ("w\($0)", try Tensor((0..<10).map { Double($0) })) }
      let path = try SafetensorsSet.write(tensors, metadata: [("a", "b")], to: folder + "/m.safetensors", shardSize: 100)
      #expect(path == folder + "/m.safetensors.index.json")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 6)  // five of two tensors, and the index
      let set = try SafetensorsSet(path)
      #expect(set.names == tensors.map(\.0))
      #expect(set.metadata.first?.text == "b")
      for (name, tensor) in try set.tensors() { #expect(tensor.content == tensors.first { $0.0 == name }?.1.content) }
      func index(_ map: String) -> String {
        problem {
          try OutputFile.write([], to: folder + "/i.json")
          try #"{"weight_map": {\#(map)}}"#.write(toFile: folder + "/i.json", atomically: false, encoding: .utf8)
          _ = try SafetensorsSet(folder + "/i.json")
        }
      }
      #expect(index(#""w0": "m-00001-of-00005.safetensors""#) == "")
      for name in ["/etc/passwd", "../m-00001-of-00005.safetensors", "a/../../m.safetensors", ""] {
        #expect(index(#""w0": "\#(name)""#) == "weight_map: \"\(name)\", the file of \"w0\", is no name of a file beside the index")
      }
      #expect(index(#""w5": "m-00001-of-00005.safetensors""#) == "weight_map: m-00001-of-00005.safetensors has no tensor \"w5\"")
      #expect(index(#""w0": 3"#) == "weight_map: the file of \"w0\" is not a string but a number")
      #expect(problem { try SafetensorsSet.write(tensors, to: folder + "/m", shardSize: 100) }.contains("must end in .safetensors"))
    }
  }

  /// A file of a header and that many bytes.
  private func reading(_ header: String, _ bytes: Int, announced: UInt64? = nil) -> String {
    var text = ""
    try? withFolder { folder in
      var data = withUnsafeBytes(of: (announced ?? UInt64(header.utf8.count)).littleEndian) { Data($0) }
      data.append(Data(header.utf8))
      data.append(Data(repeating: 0, count: bytes))
      try data.write(to: URL(filePath: folder + "/a"))
      text = problem { _ = try SafetensorsFile(folder + "/a").tensors() }
    }
    return text
  }

  private func entry(_ name: String, _ dtype: String, _ shape: String, _ start: Int, _ end: Int) -> String {
    #""\#(name)":{"dtype":"\#(dtype)","shape":[\#(shape)],"data_offsets":[\#(start),\#(end)]}"#
  }

  @Test func whatLies() throws {
    let a = entry("a", "F32", "2", 0, 8)
    #expect(reading("{\(a)}", 8) == "")
    #expect(reading("{\(a)}   ", 8) == "")
    #expect(reading("{}", 0) == "")
    // In any order, as long as the elements leave no gap.
    #expect(reading("{\(entry("b", "U8", "3", 8, 11)),\(a)}", 11) == "")
    #expect(reading("", 0) == "byte 8: the header does not begin with '{'")
    for length in [UInt64.max, 1 << 63, 1 << 40, 200] {
      #expect(reading("{\(a)}", 8, announced: length).hasPrefix("byte 0: a header of \(length) bytes is announced"))
    }
    #expect(reading(" {}", 0).hasPrefix("byte 8: the header does not begin"))
    #expect(reading("{\(a)", 8).hasPrefix("the header, line 1, column"))
    #expect(reading("{\(a)} {}", 8).hasPrefix("the header, line 1, column"))
    #expect(reading("{\(a),\(a)}", 8).contains("the name \"a\" comes a second time"))
    #expect(reading("{\(a)}", 9) == "byte 70: the tensors end here, and 1 bytes follow")
    #expect(reading("{\(a)}", 7).contains("\"a\" has data_offsets [0, 8], which are no part of the 7 bytes"))
    #expect(reading("{\(entry("a", "F32", "2", 4, 12))}", 12).contains("leave a gap of 4 bytes before them"))
    #expect(reading("{\(a),\(entry("b", "F32", "2", 4, 12))}", 12).contains("overlap with those of another"))
    #expect(reading("{\(a),\(entry("b", "F32", "2", 0, 8))}", 8).contains("overlap"))
    #expect(reading("{\(entry("a", "F32", "2", 8, 0))}", 8).contains("data_offsets [8, 0]"))
    #expect(reading("{\(entry("a", "F32", "2", -8, 0))}", 8).contains("data_offsets [-8, 0]"))
    #expect(reading("{\(entry("a", "F32", "3", 0, 8))}", 8) == "the tensor \"a\" of shape [3] and F32 takes 12 bytes, but has 8")
    let large = "4611686018427387904"
    #expect(reading("{\(entry("a", "F32", "\(large),4", 0, 8))}", 8).contains("more elements than can be addressed"))
    #expect(reading("{\(entry("a", "F32", "\(large),\(large),0", 0, 0))}", 0).contains("more elements than can be addressed"))
    #expect(reading("{\(entry("a", "F32", "1,1,1,1,1,1,1,1,2", 0, 8))}", 8).contains("at most 8 are possible"))
    #expect(reading("{\(entry("a", "F32", "-2", 0, 8))}", 8).contains("does not consist of counts"))
    #expect(reading("{\(entry("a", "F32", "2.5", 0, 8))}", 8).contains("does not consist of counts"))
    #expect(reading("{\(entry("a", "F8_E4M3", "8", 0, 8))}", 8).contains("has elements of F8_E4M3, which there are none of here"))
    #expect(reading(#"{"a":3}"#, 0) == "the tensor \"a\" is not described by an object but a number")
    #expect(reading(#"{"a":{"dtype":"F32","shape":[2]}}"#, 0) == "the tensor \"a\" has no data_offsets of two whole numbers")
    #expect(reading(#"{"__metadata__":{"a":3}}"#, 0) == "__metadata__: \"a\" is not a string but a number")
    #expect(reading(#"{"__metadata__":3}"#, 0) == "__metadata__ is not an object of texts but a number")
    try withFolder { folder in
      let path = folder + "/a"
      try SafetensorsFile.write([("a", try Tensor([1.0, 2]))], to: path)
      var bytes = try InputFile(path).contents()
      let file = try SafetensorsFile(path)
      bytes.removeLast()
      try Data(bytes).write(to: URL(filePath: path))  // the same file, shortened while it is open
      #expect(problem { _ = try file.tensor(named: "a") } == "ends at byte \(bytes.count), within the tensor \"a\"")
      // A boolean that is neither.
      try SafetensorsFile.write([("b", try Tensor([1.0, 0], dtype: .bool))], to: path)
      bytes = try InputFile(path).contents()
      bytes[bytes.count - 1] = 2
      try Data(bytes).write(to: URL(filePath: path))
      let place = bytes.count - 1
      #expect(
        problem { _ = try SafetensorsFile(path).tensors() } == "byte \(place): the tensor \"b\" of booleans has the byte 2, neither 0 nor 1"
      )
    }
  }
}
