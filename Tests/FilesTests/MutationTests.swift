// Every reader is given files that nobody would write: good ones cut off at every byte, with every byte changed, and with several
// changes at random. A reader may refuse them or not; it must not trap, hang, or allocate what the file cannot mean.
//
// MOONGRAD_MUTATIONS=100000 asks for so many random ones of each file (see scripts/fuzz_files).

import Files
import Foundation
import Tensors
import Testing

/// The fixtures' folder.
let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/readers").path

/// A reader, and good files for it.
struct Reader: CustomTestStringConvertible, Sendable {
  let name: String
  let files: [String]
  let read: @Sendable (_ path: String) throws -> Void
  var testDescription: String { name }

  static let all: [Reader] = [
    Reader(name: "npy", files: ["f4.npy", "big_u2.npy", "columns.npy", "scalar.npy", "version3.npy", "b1.npy", "refused_structured.npy"]) {
      let tensor = try NumPyFile.read($0)
      _ = tensor.scalars
      _ = try NumPyFile.map($0).scalars
    },
    Reader(name: "npz", files: ["stored.npz", "packed.npz"]) {
      let archive = try NumPyArchive($0)
      for name in archive.names { _ = try archive.array(name) }
    },
    Reader(name: "csv", files: ["table.csv", "table.csv.gz", "twice.csv.gz"]) {
      let table = try CSVReader.read($0)
      for column in table.names.indices { _ = try? table.labels(column) }
      let reader = try CSVReader.stream($0, looking: 2)
      while try reader.next(2) != nil {}
    },
    Reader(name: "idx", files: ["i2.idx", "f8.idx", "u1.idx.gz"]) { _ = try IDXFile.read($0).scalars },
    Reader(name: "image", files: ["rgba.png", "palette.png", "interlaced.png", "deep.png", "rgb.jpg", "progressive.jpg", "gray.jpg"]) {
      path in
      for mode in ImageFile.Mode.allCases { _ = try ImageFile.read(path, mode: mode) }
    },
    Reader(name: "json lines", files: ["lines.jsonl"]) {
      let reader = try JSONLinesReader($0)
      while try reader.next() != nil {}
    },
  ]
}

/// Numbers that are the same at each run.
struct Dice: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: Int) { state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

@Suite struct MutationTests {
  static let wanted = ProcessInfo.processInfo.environment["MOONGRAD_MUTATIONS"].flatMap(Int.init)

  @Test(arguments: Reader.all) func readersRefuseOrRead(_ reader: Reader) throws {
    try withFolder { folder in
      var executions = 0
      for file in reader.files {
        let good = try [UInt8](Data(contentsOf: URL(filePath: "\(fixtures)/\(file)")))
        // The ending stays, since it may tell readers what the file is. Where the process ends, the file is left for a look.
        let path = "\(folder)/\(file)"
        var refused = 0
        func run(_ bytes: [UInt8]) throws {
          _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
          executions += 1
          do {
            try reader.read(path)
          } catch is FileError {
            refused += 1
          } catch is TensorError {
            refused += 1
          }
        }
        try run(good)
        #expect(refused == (file.hasPrefix("refused") ? 1 : 0), "\(file)")
        let step = max(1, good.count / (MutationTests.wanted == nil ? 120 : 20_000))
        for end in stride(from: 0, to: good.count, by: step) { try run(Array(good[..<end])) }
        for place in stride(from: 0, to: good.count, by: step) {
          for change: (UInt8) -> UInt8 in [{ ~$0 }, { $0 ^ 1 }, { _ in 0 }, { _ in 0xff }, { $0 &+ 1 }] {
            var bytes = good
            bytes[place] = change(bytes[place])
            if bytes != good { try run(bytes) }
          }
        }
        var dice = Dice(good.count)
        for _ in 0..<(MutationTests.wanted ?? 60) { try run(MutationTests.mutated(good, &dice)) }
      }
      print("\(reader.name): \(executions) executions")
    }
  }

  /// A few changes of all kinds: bytes, numbers of 16 to 64 bits, parts left out, doubled or moved.
  static func mutated(_ good: [UInt8], _ dice: inout Dice) -> [UInt8] {
    var bytes = good
    for _ in 0..<Int.random(in: 1...4, using: &dice) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &dice)
      let length = min(bytes.count - place, 1 << Int.random(in: 0...5, using: &dice))
      switch Int.random(in: 0..<6, using: &dice) {
      case 0: bytes[place] = UInt8.random(in: 0...255, using: &dice)
      case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &dice)
      case 2:
        let number = [0, 1, -1, .max, 1 << 31, 1 << 32 - 1, 1 << 62, 255, 65535].randomElement(using: &dice)!
        withUnsafeBytes(of: number.littleEndian) { for i in 0..<min(length, 8) { bytes[place + i] = $0[i] } }
      case 3: bytes.removeSubrange(place..<place + length)
      case 4: bytes.insert(contentsOf: Array(bytes[place..<place + length]), at: place)
      default:
        let other = Int.random(in: 0..<bytes.count, using: &dice)
        for i in 0..<min(length, bytes.count - other) { bytes[other + i] = bytes[place + i] }
      }
    }
    return bytes
  }
}
