// Where the console's lines come from.

import Glibc

enum Line: Equatable {
  case text(String)
  /// Ctrl-C: what was typed is to be forgotten.
  case interrupted
  case end
}

protocol LineReader: AnyObject {
  /// Whether a person types: prompts are shown and an error does not decide the exit status.
  var isInteractive: Bool { get }
  func read(prompt: String) -> Line
  /// Notes a line for the history.
  func remember(_ line: String)
}

/// Lines without editing: from a pipe, or from a terminal whose output goes elsewhere.
final class PlainLineReader: LineReader {
  let isInteractive = isatty(STDIN_FILENO) == 1
  private let showsPrompt = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1

  func read(prompt: String) -> Line {
    if showsPrompt { Output.write(prompt) }
    Output.flush()
    var bytes: [UInt8] = []
    while true {
      switch Input.next() {
      case .byte(UInt8(ascii: "\n")): return .text(String(decoding: bytes, as: UTF8.self))
      case .byte(let byte): bytes.append(byte)
      case .interrupted:
        if showsPrompt { Output.write("\n") }
        return .interrupted
      case .end: return bytes.isEmpty ? .end : .text(String(decoding: bytes, as: UTF8.self))
      }
    }
  }

  func remember(_ line: String) {}
}

/// Standard input, one byte at a time, so that nothing is taken from scripts that read it too.
enum Input {
  enum Event: Equatable {
    case byte(UInt8)
    case interrupted
    case end
  }

  /// Waits for the next byte or for Ctrl-C.
  static func next() -> Event {
    // SIGINT is let in only while waiting: between a look at the flag and a read it would be missed.
    var blocked = sigset_t()
    var open = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGINT)
    pthread_sigmask(SIG_BLOCK, &blocked, &open)
    defer { pthread_sigmask(SIG_SETMASK, &open, nil) }
    sigdelset(&open, SIGINT)
    while true {
      if Interrupts.takePending() { return .interrupted }
      var descriptors = fd_set()
      descriptors.__fds_bits.0 = 1 << STDIN_FILENO
      let ready = pselect(STDIN_FILENO + 1, &descriptors, nil, nil, nil, &open)
      if ready < 0 {
        if errno == EINTR { continue }
        return .end
      }
      var byte: UInt8 = 0
      let count = Glibc.read(STDIN_FILENO, &byte, 1)
      if count == 1 { return .byte(byte) }
      if count == 0 || (errno != EINTR && errno != EAGAIN) { return .end }
    }
  }

  /// The next character in UTF-8; nil for Ctrl-C and for the end, which `event` tells apart.
  static func nextScalar(_ event: inout Event) -> Unicode.Scalar? {
    event = next()
    guard case .byte(let first) = event else { return nil }
    let length = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1
    var bytes = [first]
    while bytes.count < length, case .byte(let byte) = next() { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self).unicodeScalars.first
  }
}
