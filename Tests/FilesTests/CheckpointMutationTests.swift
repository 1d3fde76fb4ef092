// The readers of tensors and checkpoints are given files that nobody wrote: good ones cut off at every byte, with every byte changed, and
// with parts doubled, moved and left out. A reader may refuse them or not; it must not trap, hang, or allocate what a file cannot mean.
//
// MOONGRAD_MUTATIONS=100000 asks for so many random ones of each file.

import Files
import Foundation
import Tensors
import Testing

@Suite struct CheckpointMutationTests {
  struct Case: CustomTestStringConvertible, Sendable {
    let name: String
    let read: @Sendable (String) throws -> Void
    var testDescription: String { name }
  }

  static let cases: [Case] = [
    Case(name: "reference.safetensors") { for (_, tensor) in try SafetensorsFile($0).tensors() { _ = tensor.scalars } },
    Case(name: "checkpoint") { visit(try Checkpoint.load($0)) },
    Case(name: "plain.pt") { visit(try TorchFile.load($0)) },
    // The program alone, in an archive whose checksums are right.
    Case(name: "data.pkl") { path in
      let pickle = try InputFile(path).contents()
      let plain = try ZipArchive(checkpointFixtures + "plain.pt")
      let writer = try ZipWriter(path + ".pt", isSynced: false)
      for member in plain.members {
        let bytes = member.name.hasSuffix("/data.pkl") ? pickle : try plain.contents(member)
        try bytes.withUnsafeBytes { try writer.add(member.name, [$0]) }
      }
      try writer.finish()
      visit(try TorchFile.load(path + ".pt"))
    },
  ]

  /// Looks at everything in a value; of tensors that stretch few elements to many, at some.
  static func visit(_ value: Checkpoint.Value) {
    if let tensor = value.tensor, tensor.count < 1_000_000 { _ = tensor.scalars }
    // What is shared is visited again; the files are small.
    for (_, value) in value.table?.entries ?? [] { visit(value) }
  }

  @Test(arguments: cases) func refusedOrRead(_ reader: Case) throws {
    try withFolder { folder in
      let path = folder + "/file"
      if reader.name == "checkpoint" {
        let base = try Tensor.ones([3, 4])
        try Checkpoint.save(
          [
            "a": .tensor(base), "b": .tensor(base.transpose(0, 1)), "c": [1, 2.5, "x", true, .bytes([200]), .number(.nan)], "e": [:],
            "d": .tensor(try Tensor.ones([2, 3], dtype: .bool).transpose(0, 1)), "p": .tensor(try Tensor.ones([2]).markParameter()),
          ], to: path)
      } else if reader.name == "data.pkl" {
        let plain = try ZipArchive(checkpointFixtures + "plain.pt")
        let member = try #require(plain.members.first { $0.name.hasSuffix("/data.pkl") })
        _ = FileManager.default.createFile(atPath: path, contents: Data(try plain.contents(member)))
      } else {
        try FileManager.default.copyItem(atPath: checkpointFixtures + reader.name, toPath: path)
      }
      let good = try InputFile(path).contents()
      var executions = 0
      var refused = 0
      func run(_ bytes: [UInt8]) throws {
        // Where the process ends, the file is left for a look.
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        executions += 1
        do { try reader.read(path) } catch is FileError { refused += 1 } catch is TensorError { refused += 1 }
      }
      try run(good)
      #expect(refused == 0)
      let wanted = ProcessInfo.processInfo.environment["MOONGRAD_MUTATIONS"].flatMap(Int.init)
      let step = wanted == nil ? max(1, good.count / 200) : 1
      for end in stride(from: 0, to: good.count, by: step) {
        let before = refused
        try run(Array(good[..<end]))
        #expect(refused == before + 1, "cut off at byte \(end) of \(good.count)")
      }
      for place in stride(from: 0, to: good.count, by: step) {
        for change: (UInt8) -> UInt8 in [{ ~$0 }, { $0 ^ 1 }, { _ in 0 }, { _ in 0xff }, { $0 &+ 1 }] {
          var bytes = good
          bytes[place] = change(bytes[place])
          if bytes != good { try run(bytes) }
        }
      }
      var random = SystemRandomNumberGenerator()
      for _ in 0..<(wanted ?? 300) { try run(changed(good, &random)) }
      print("\(reader.name): \(executions) executions, \(refused) refused")
    }
  }

  private func changed(_ good: [UInt8], _ random: inout SystemRandomNumberGenerator) -> [UInt8] {
    var bytes = good
    for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &random)
      let length = min(bytes.count - place, 1 << Int.random(in: 0...5, using: &random))
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 2:
        let number = [0, 1, -1, .max, 1 << 31, 1 << 32 - 1, 1 << 62, 255, 65535].randomElement(using: &random)!
        withUnsafeBytes(of: number.littleEndian) { for index in 0..<min(length, 8) { bytes[place + index] = $0[index] } }
      case 3: bytes.removeSubrange(place..<place + length)
      case 4: bytes.insert(contentsOf: Array(bytes[place..<place + length]), at: place)
      default:
        let other = Int.random(in: 0..<bytes.count, using: &random)
        for index in 0..<min(length, bytes.count - other) { bytes[other + index] = bytes[place + index] }
      }
    }
    return bytes
  }
}
