// The command as a process: with pipes, and at a terminal.

import Glibc
import Testing

/// The `moongrad` that was built with these tests.
let command: String = {
  var buffer = [CChar](repeating: 0, count: 4096)
  let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
  let own = String(decoding: buffer[..<max(0, length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  return own[...(own.lastIndex(of: "/") ?? own.startIndex)] + "moongrad"
}()

/// A directory of a test's own, removed with its contents.
final class Folder {
  let path: String
  init() {
    var template = Array("/tmp/moongrad-test-XXXXXX".utf8CString)
    path = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
  }
  deinit { _ = try? run(["/bin/rm", "-rf", path]) }

  func write(_ name: String, _ text: String) -> String {
    let file = path + "/" + name
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    var text = text
    text.withUTF8 { _ = Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    return file
  }

  func read(_ name: String) -> String {
    let descriptor = open(path + "/" + name, O_RDONLY)
    defer { close(descriptor) }
    return descriptor < 0 ? "" : String(decoding: readAll(descriptor), as: UTF8.self)
  }
}

func readAll(_ descriptor: Int32) -> [UInt8] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(descriptor, &chunk, chunk.count)
    if count <= 0 { return bytes }
    bytes += chunk[..<count]
  }
}

struct Spawned {
  let identifier: pid_t

  /// Starts a program whose standard streams are opened by `actions`.
  init(_ arguments: [String], environment: [String: String] = [:], flags: Int16 = 0, _ actions: (inout posix_spawn_file_actions_t) -> Void)
    throws
  {
    var files = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&files)
    defer { posix_spawn_file_actions_destroy(&files) }
    actions(&files)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Tests run on threads whose signals are blocked; what they start gets an open mask.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, flags | Int16(POSIX_SPAWN_SETSIGMASK))
    // Of this process's environment only what a sanitizer was told, or it would look for leaks in what os.exit leaves.
    var variables = ["PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "NO_COLOR": "1", "TERM": "xterm"]
    for name in ["ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"] {
      if let value = getenv(name) { variables[name] = String(cString: value) }
    }
    variables.merge(environment) { $1 }
    let argv = arguments.map { strdup($0) } + [nil]
    let envp = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for text in argv + envp { free(text) } }
    var identifier: pid_t = 0
    let code = posix_spawn(&identifier, arguments[0], &files, &attributes, argv, envp)
    try #require(code == 0, "\(arguments[0]): \(String(cString: strerror(code)))")
    self.identifier = identifier
  }

  /// The exit status; 128 plus the signal that ended it.
  func wait() -> Int32 {
    var status: Int32 = 0
    waitpid(identifier, &status, 0)
    return status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
  }
}

struct Finished: Equatable {
  let status: Int32
  let output: String
  let errors: String
}

/// Runs a program with the text as its standard input, in a directory.
@discardableResult
func run(_ arguments: [String], input: String = "", environment: [String: String] = [:], interruptedAfter delay: Double? = nil) throws
  -> Finished
{
  let streams = (0..<3).map { _ -> FILEPointer in tmpfile()! }
  defer { for stream in streams { fclose(stream) } }
  let descriptors = streams.map { fileno($0) }
  var text = input
  text.withUTF8 { _ = write(descriptors[0], $0.baseAddress, $0.count) }
  lseek(descriptors[0], 0, SEEK_SET)
  let child = try Spawned(arguments, environment: environment) { files in
    for (number, descriptor) in descriptors.enumerated() {
      posix_spawn_file_actions_adddup2(&files, descriptor, Int32(number))
    }
  }
  if let delay {
    usleep(UInt32(delay * 1e6))
    kill(child.identifier, SIGINT)
  }
  let status = child.wait()
  func contents(_ descriptor: Int32) -> String {
    lseek(descriptor, 0, SEEK_SET)
    return String(decoding: readAll(descriptor), as: UTF8.self)
  }
  return Finished(status: status, output: contents(descriptors[1]), errors: contents(descriptors[2]))
}

typealias FILEPointer = UnsafeMutablePointer<FILE>

/// Runs `moongrad`.
@discardableResult
func moongrad(_ arguments: String..., input: String = "", environment: [String: String] = [:], interruptedAfter delay: Double? = nil) throws
  -> Finished
{
  try run([command] + arguments, input: input, environment: environment, interruptedAfter: delay)
}

/// `moongrad` at a pseudo-terminal: keys are typed, the screen is read.
final class TerminalSession {
  private let master: Int32
  private let child: Spawned
  /// All that was shown so far, without carriage returns.
  private(set) var screen = ""
  private var seen = 0
  private var status: Int32?

  init(_ arguments: String..., environment: [String: String] = [:]) throws {
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    try #require(master >= 0, "no pseudo-terminals here")
    var (unlock, number) = (Int32(0), Int32(0))
    _ = ioctl(master, UInt(0x4004_5431), &unlock)  // TIOCSPTLCK
    _ = ioctl(master, UInt(0x8004_5430), &number)  // TIOCGPTN
    var size = winsize(ws_row: 40, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(master, UInt(TIOCSWINSZ), &size)
    let name = "/dev/pts/\(number)"
    // A session of its own (POSIX_SPAWN_SETSID), whose first terminal is the one opened here.
    child = try Spawned([command] + arguments, environment: environment, flags: 0x80) { files in
      posix_spawn_file_actions_addopen(&files, 0, name, O_RDWR, 0)
      posix_spawn_file_actions_adddup2(&files, 0, 1)
      posix_spawn_file_actions_adddup2(&files, 0, 2)
    }
  }

  deinit {
    if status == nil {
      kill(child.identifier, SIGKILL)
      _ = child.wait()
    }
    close(master)
  }

  func type(_ keys: String) {
    var keys = keys
    keys.withUTF8 { _ = write(master, $0.baseAddress, $0.count) }
  }

  /// Types a line once a prompt is shown, and returns what came between it and the next prompt.
  @discardableResult
  func enter(_ line: String, prompt: String = "> ", sourceLocation: SourceLocation = #_sourceLocation) -> String {
    awaitEditing()
    type(line + "\n")
    let text = expect("\n" + prompt, sourceLocation: sourceLocation)
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropFirst().dropLast().joined(separator: "\n")
  }

  /// Waits until the prompt takes keys one by one: until then the terminal itself would echo them.
  func awaitEditing() {
    var settings = termios()
    for _ in 0..<1000 where tcgetattr(master, &settings) == 0 {
      if settings.c_lflag & tcflag_t(ICANON) == 0 { return }
      usleep(2000)
    }
  }

  /// Waits until a text is shown, and returns everything up to it that was not returned before.
  @discardableResult
  func expect(_ text: String, seconds: Double = 20, sourceLocation: SourceLocation = #_sourceLocation) -> String {
    var waited = 0.0
    while true {
      let fresh = String(screen.dropFirst(seen))
      if let range = fresh.firstRange(of: text) {
        seen += fresh.distance(from: fresh.startIndex, to: range.upperBound)
        return String(fresh[..<range.upperBound])
      }
      guard waited < seconds, readSome(&waited) else {
        Issue.record("expected '\(text)' on the screen, which ends: \(fresh.suffix(500))", sourceLocation: sourceLocation)
        return fresh
      }
    }
  }

  /// Waits for the end; the exit status.
  func finish() -> Int32 {
    var waited = 0.0
    while waited < 20, readSome(&waited) {}
    if waited >= 20 {
      Issue.record("moongrad does not end; the screen ends: \(screen.suffix(500))")
      kill(child.identifier, SIGKILL)
    }
    if status == nil { status = child.wait() }
    return status!
  }

  private func readSome(_ waited: inout Double) -> Bool {
    var descriptor = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
    guard poll(&descriptor, 1, 50) > 0 else {
      waited += 0.05
      return true
    }
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = read(master, &chunk, chunk.count)
    guard count > 0 else { return false }
    screen += String(decoding: chunk[..<count].filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
    return true
  }
}
