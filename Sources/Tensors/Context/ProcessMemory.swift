// What the process as a whole may take. Tensors have an account; the nodes and handles beside them, and Lua's own values, have
// none, and where Swift finds no memory for an object the process ends. So whoever asks for fresh memory looks now and then
// whether there is some left, and is refused while there still is.

import Glibc

package enum ProcessMemory {
  /// So much must be left in one piece: allocators take addresses in large ones (mimalloc 32 MB, aligned, for which it asks for twice as
  /// many) before they say no to a small object, and there the process ends.
  private static let reserve = 72 << 20

  /// Why there is no more memory for `bytes`, in words; nil where there is.
  static func shortage(for bytes: Int) -> String? {
    if !canMap(reserve + bytes) {
      // What the allocator keeps of memory that was given back to it.
      collect()
      guard canMap(reserve + bytes) else { return "the process can get no more memory" }
    }
    let resident = self.resident
    if resident > mostResident - bytes { return "the process takes \(resident) of at most \(mostResident) bytes" }
    return nil
  }

  /// With `ulimit -v` nothing else tells. Not malloc, which the optimizer leaves out together with its free, as if it had succeeded.
  private static func canMap(_ bytes: Int) -> Bool {
    guard let probe = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), probe != MAP_FAILED else {
      return false
    }
    munmap(probe, bytes)
    return true
  }

  /// Has the allocator give back to the system what it can: mimalloc where the program has it, as the command does, else glibc's.
  private static let collect: @Sendable () -> Void = {
    if let symbol = dlsym(nil, "mi_collect") {
      let collect = unsafeBitCast(symbol, to: (@convention(c) (_ isForced: Bool) -> Void).self)
      return { collect(true) }
    }
    guard let symbol = dlsym(nil, "malloc_trim") else { return {} }
    let trim = unsafeBitCast(symbol, to: (@convention(c) (_ kept: Int) -> Int32).self)
    return { _ = trim(0) }
  }()

  /// Bytes of memory that the process has now; 0 where that cannot be read.
  private static var resident: Int {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      guard count > 0 else { return 0 }
      let words = buffer[..<count].split(separator: UInt8(ascii: " "))
      return words.count > 1 ? (Int(String(decoding: words[1], as: UTF8.self)) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }
  }

  /// Of the machine's memory, or of what the process' control group may have: Linux kills whoever takes more.
  static let mostResident = min(physical, groupLimit ?? physical) / 10 * 9

  private static let groupLimit = controlGroupLimit()

  private static let physical = Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE)))

  /// The least limit of the control groups that the process is in; nil where there is none, or none can be read. Tests say where
  /// membership stands, and where the groups are.
  package static func controlGroupLimit(membership: String = "/proc/self/cgroup", groups: String = "/sys/fs/cgroup") -> Int? {
    var limits: [Int] = []
    for line in text(of: membership).split(separator: "\n") {
      // "0::/a/b" of the second version, "9:memory:/a/b" of the first.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[1].isEmpty || parts[1].split(separator: ",").contains("memory") else { continue }
      let (root, file) = parts[1].isEmpty ? (groups, "memory.max") : (groups + "/memory", "memory.limit_in_bytes")
      var path = parts[2] == "/" ? "" : String(parts[2])
      while true {
        let number = text(of: root + path + "/" + file).prefix { $0 != "\n" }
        if let limit = Int(number), limit > 0 { limits.append(limit) }
        guard let last = path.lastIndex(of: "/") else { break }
        path = String(path[..<last])
      }
    }
    return limits.min()
  }

  private static func text(of path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    return withUnsafeTemporaryAllocation(byteCount: 1 << 14, alignment: 1) { buffer in
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      return count > 0 ? String(decoding: UnsafeRawBufferPointer(rebasing: buffer[..<count]), as: UTF8.self) : ""
    }
  }

  /// What scripts and their tensors may take together where the process has a limit, of its address space (`ulimit -v`) or by its
  /// control group, so that it is they who are refused, with an error; nil where it has none.
  package static var scriptLimit: Int? {
    [addressSpaceLimit, leastInGroup].compactMap { $0 }.min()
  }

  private static let leastInGroup: Int? = {
    guard let limit = groupLimit, limit < physical else { return nil }
    // Less what the process has beside them, and what allocators keep.
    return max(min(limit / 10 * 9, limit - 64 << 20), 16 << 20)
  }()

  private static var addressSpaceLimit: Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0, limit.rlim_cur < UInt64(1) << 60 else { return nil }
    // Programs and libraries are mapped too, and threads want their stacks.
    var mapped = 0
    for line in text(of: "/proc/self/maps").split(separator: "\n") where line.contains("/") {
      let ends = line.prefix { $0 != " " }.split(separator: "-").compactMap { Int($0, radix: 16) }
      if ends.count == 2 { mapped += ends[1] - ends[0] }
    }
    return max(Int(limit.rlim_cur) - mapped - 64 << 20, 16 << 20)
  }
}
