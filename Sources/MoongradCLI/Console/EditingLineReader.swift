// Lines typed at a terminal, with editing, history and completion, by libedit.

@preconcurrency import CEdit  // its variables are C's
import Glibc

/// The only one of its process, since libedit's state is global.
final class EditingLineReader: LineReader {
  let isInteractive = true
  private let historyPath: String?
  /// What may stand at the end of a line up to the cursor, and where it begins; see ``Completer``.
  fileprivate nonisolated(unsafe) static var complete: ((String) -> Completion)?
  private nonisolated(unsafe) static var wasInterrupted = false
  private nonisolated(unsafe) static var pendingMatches: [String] = []

  init(historyPath: String?, complete: @escaping (String) -> Completion) {
    self.historyPath = historyPath
    Self.complete = complete
    // Characters beyond ASCII need a locale in UTF-8. Only their classes: numbers keep their points.
    setlocale(LC_CTYPE, "")
    if String(cString: nl_langinfo(Int32(CODESET))) != "UTF-8" { setlocale(LC_CTYPE, "C.UTF-8") }
    rl_readline_name = UnsafePointer(strdup("moongrad"))
    // Signals stay ours: libedit would send them to the whole process group again.
    rl_catch_signals = 0
    rl_getc_function = { _ in EditingLineReader.getCharacter() }
    rl_attempted_completion_function = { _, start, end in EditingLineReader.completions(Int(start), Int(end)) }
    rl_completer_word_break_characters = strdup(" \t\n\"'`@$><=;|&{(,+-*/%^#[]~")
    Self.restoreTerminalWhenKilled()
    rl_initialize()
    rl_completion_append_character = 0
    using_history()
    stifle_history(5000)
    if let historyPath { read_history(historyPath) }
  }

  func read(prompt: String) -> Line {
    Output.flush()
    rl_resize_terminal()
    Self.wasInterrupted = false
    guard let line = readline(prompt) else {
      return Self.wasInterrupted ? .interrupted : .end
    }
    defer { free(line) }
    return Self.wasInterrupted ? .interrupted : .text(String(cString: line))
  }

  /// Writes the history at once: a script may end the process at any time.
  func remember(_ line: String) {
    guard !line.isEmpty else { return }
    add_history(line)
    if let historyPath { write_history(historyPath) }
  }

  /// The terminal as it was found. Not a global of its own, which the compiler lays out without the padding inside the C
  /// struct, 3 bytes too small for tcgetattr (found by the address sanitizer).
  private nonisolated(unsafe) static let original = UnsafeMutablePointer<termios>.allocate(capacity: 1)

  /// A signal that ends the process at the prompt must not leave the terminal without echo.
  private static func restoreTerminalWhenKilled() {
    guard tcgetattr(STDIN_FILENO, original) == 0 else { return }
    for number in [SIGTERM, SIGHUP] {
      signal(number) { number in
        tcsetattr(STDIN_FILENO, TCSANOW, EditingLineReader.original)
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  /// libedit's source of characters. Ctrl-C ends the line, which is then forgotten.
  private static func getCharacter() -> Int32 {
    var event = Input.Event.end
    guard let scalar = Input.nextScalar(&event) else {
      guard event == .interrupted else { return -1 }
      wasInterrupted = true
      return Int32(UInt8(ascii: "\n"))
    }
    return Int32(scalar.value)
  }

  private static func completions(_ start: Int, _ end: Int) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
    guard let complete, let buffer = rl_line_buffer else { return nil }
    let line = UnsafeRawBufferPointer(start: buffer, count: strnlen(buffer, end))
    let completion = complete(String(decoding: line, as: UTF8.self))
    // libedit's own completion, of file names, is for strings only.
    rl_attempted_completion_over = completion.isFileName ? 0 : 1
    guard !completion.words.isEmpty else { return nil }
    pendingMatches = completion.words.reversed()
    return rl_completion_matches("") { _, _ in
      EditingLineReader.pendingMatches.popLast().flatMap { strdup($0) }
    }
  }
}
