// What the process may take: the limits of its control groups, where it is in some.

import Foundation
import Tensors
import Testing

@Suite struct ProcessMemoryTests {
  @Test func theLeastLimitOfTheGroupsCounts() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "groups-\(UUID())")
    defer { try? FileManager.default.removeItem(at: folder) }
    func write(_ path: String, _ text: String) throws {
      let file = folder.appending(path: path)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: true, encoding: .utf8)
    }
    func limit(_ membership: String) throws -> Int? {
      try write("membership", membership)
      return ProcessMemory.controlGroupLimit(membership: folder.appending(path: "membership").path, groups: folder.path)
    }
    try write("a/memory.max", "300000000\n")
    try write("a/b/memory.max", "max\n")
    try write("a/c/memory.max", "200000000\n")
    try write("memory/old/memory.limit_in_bytes", "100000000\n")
    #expect(try limit("0::/\n") == nil)
    #expect(try limit("0::/a/b\n") == 300_000_000)
    #expect(try limit("0::/a/c\n") == 200_000_000)
    #expect(try limit("0::/a/c/that/is/not/seen/from/here\n") == 200_000_000)
    #expect(try limit("9:cpu,memory:/old\n8:pids:/a\n0::/a\n") == 100_000_000)
    #expect(try limit("8:pids:/a/c\n") == nil)
    for odd in ["", "\n", "0::", "0:", "x", "0::/a/c", "0::a", "0::/../a", "9:memory:/\n"] { _ = try limit(odd) }
    #expect(ProcessMemory.controlGroupLimit(membership: "/nonexistent", groups: folder.path) == nil)
    // The whole machine has a group of its own.
    try write("memory.max", "1000\n")
    #expect(try limit("0::/\n") == 1000)
  }
}
