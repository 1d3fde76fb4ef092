// Work that is done by processes: each a copy of this one, so that closures of a script need no carrying.

import CProcesses
import Glibc

/// Runs pieces of work in child processes, several at a time.
///
/// What a piece of work prints is shown as if one were done after the other: that of the first which is not over as it comes, that of
/// later ones when it is their turn. Children are ended when the work is given up, and none outlives this process.
final class ProcessPool {
  /// What came of a piece of work.
  enum Outcome {
    /// What it gave.
    case answer([UInt8])
    /// That it ended without an answer, as a sentence's end.
    case ended(String)
  }

  /// Whether this process is such a child, which starts no more of them.
  private(set) nonisolated(unsafe) static var isChild = false

  /// How many processes there may be at a time.
  static let most = 256

  static var processors: Int { Int(mg_processors()) }

  private final class Child {
    let index: Int
    let identifier: pid_t
    let pipes: mg_pipes
    var answer: [UInt8] = []
    var output = Streams()

    init(_ index: Int, _ identifier: pid_t, _ pipes: mg_pipes) {
      self.index = index
      self.identifier = identifier
      self.pipes = pipes
    }

    /// Waits for its end; how it ended.
    func wait() -> Int32 {
      var status: Int32 = 0
      while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
      return status
    }

    func closePipes() { for descriptor in [pipes.answer, pipes.output, pipes.errors] { close(descriptor) } }
  }

  /// What was printed and not shown yet.
  private struct Streams {
    var output: [UInt8] = []
    var errors: [UInt8] = []
    /// A child that prints more waits until it is its turn.
    static let most = 8 << 20
  }

  /// Receives what children print to standard output; nil for this process's own.
  private let output: (([UInt8]) -> Void)?

  init(output: (([UInt8]) -> Void)? = nil) { self.output = output }

  private var running: [Child] = []
  /// What ended ones printed whose turn has not come.
  private var held: [Int: Streams] = [:]
  /// The first piece of work that is not over.
  private var turn = 0

  deinit { giveUp() }

  /// Does `count` pieces of work, `workers` at a time. `work` is called in a child, `ended` in this process in the order in which they
  /// end; `goesOn` throws when it is all to be given up.
  func run(
    _ count: Int, workers: Int, work: (Int) -> [UInt8], ended: (Int, Outcome) throws -> Void, goesOn: () throws -> Void
  ) throws {
    defer { giveUp() }
    var next = 0
    while next < count || !running.isEmpty {
      while next < count, running.count < workers {
        guard try start(next, work) else { break }
        next += 1
      }
      try goesOn()
      for child in try poll() {
        let outcome = finish(child)
        try ended(child.index, outcome)
      }
    }
  }

  private func giveUp() {
    for child in running { kill(child.identifier, SIGKILL) }
    for child in running {
      _ = child.wait()
      child.closePipes()
    }
    running = []
  }

  /// Begins a piece of work; false where the system has no more processes and some are under way.
  private func start(_ index: Int, _ work: (Int) -> [UInt8]) throws -> Bool {
    var pipes = mg_pipes()
    let identifier = mg_fork(&pipes)
    if identifier < 0 {
      if !running.isEmpty { return false }
      throw ArgumentError("no process could be started: \(String(cString: strerror(-identifier)).lowercased())")
    }
    if identifier == 0 {
      ProcessPool.isChild = true
      let answer = work(index)
      let length = withUnsafeBytes(of: UInt64(answer.count).littleEndian) { Array($0) }
      ProcessPool.write(length + answer, to: pipes.answer)
      mg_leave(0)
    }
    running.append(Child(index, identifier, pipes))
    return true
  }

  // MARK: Pipes

  /// Waits until children print, answer or end, for a twentieth of a second at most; those that ended.
  private func poll() throws -> [Child] {
    var descriptors: [pollfd] = []
    for child in running {
      descriptors.append(pollfd(fd: child.pipes.answer, events: Int16(POLLIN), revents: 0))
      // A negative number is passed over.
      let isOpen = child.index == turn || child.output.output.count + child.output.errors.count < Streams.most
      for stream in [child.pipes.output, child.pipes.errors] {
        descriptors.append(pollfd(fd: isOpen ? stream : -1, events: Int16(POLLIN), revents: 0))
      }
    }
    guard Glibc.poll(&descriptors, nfds_t(descriptors.count), 50) > 0 else { return [] }
    var over: [Child] = []
    for (place, child) in running.enumerated() {
      let ready = descriptors[3 * place..<3 * place + 3].map { $0.revents != 0 }
      if ready[1] { ProcessPool.read(child.pipes.output, &child.output.output, most: 1 << 20) }
      if ready[2] { ProcessPool.read(child.pipes.errors, &child.output.errors, most: 1 << 20) }
      if child.index == turn { show(&child.output) }
      if ready[0], ProcessPool.read(child.pipes.answer, &child.answer, most: .max) { over.append(child) }
    }
    return over
  }

  /// Adds what can be read without waiting; whether the other end is closed.
  @discardableResult
  private static func read(_ descriptor: Int32, _ bytes: inout [UInt8], most: Int) -> Bool {
    let before = bytes.count
    return withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 1) { buffer in
      while bytes.count - before < most {
        let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        if count == 0 { return true }
        if count > 0 { bytes.append(contentsOf: buffer[..<count]) } else if errno != EINTR { return errno != EAGAIN }
      }
      return false
    }
  }

  /// A child whose pipe is closed: its end, what it printed last, and what it gave.
  private func finish(_ child: Child) -> Outcome {
    let status = child.wait()
    // Up to what is there now, since a program that it started may hold these pipes open.
    ProcessPool.read(child.pipes.output, &child.output.output, most: .max)
    ProcessPool.read(child.pipes.errors, &child.output.errors, most: .max)
    child.closePipes()
    running.removeAll { $0 === child }
    held[child.index] = child.output
    while var streams = held.removeValue(forKey: turn) {
      show(&streams)
      turn += 1
    }
    // The one whose turn it is now has printed before.
    if let next = running.first(where: { $0.index == turn }) { show(&next.output) }
    let length = child.answer.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    if child.answer.count >= 8, UInt64(child.answer.count - 8) == length { return .answer(Array(child.answer.dropFirst(8))) }
    let signal = status & 0x7f
    if signal != 0 { return .ended("by signal \(signal) (\(String(cString: strsignal(signal)).lowercased()))") }
    return .ended("by itself, with status \(status >> 8 & 0xff)")
  }

  // MARK: Showing

  private func show(_ streams: inout Streams) {
    if !streams.output.isEmpty, let output {
      output(streams.output)
      streams.output = []
    }
    if !streams.output.isEmpty {
      fflush(nil)
      clearLine()
      ProcessPool.write(streams.output, to: STDOUT_FILENO)
      streams.output = []
    }
    if !streams.errors.isEmpty {
      clearLine()
      ProcessPool.write(streams.errors, to: STDERR_FILENO)
      streams.errors = []
    }
  }

  /// Takes away a progress bar, which is drawn again.
  private func clearLine() { if isatty(STDERR_FILENO) == 1 { ProcessPool.write(Array("\r\u{1b}[K".utf8), to: STDERR_FILENO) } }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
      if count > 0 { offset += count } else if errno == EAGAIN { usleep(1000) } else if errno != EINTR { return }
    }
  }
}
