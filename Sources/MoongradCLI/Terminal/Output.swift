// The two streams, in order, and what a terminal shows.

@preconcurrency import Glibc  // for stdout, which C declares as a variable

enum Output {
  /// Writes to standard output, through the same buffer as the scripts' `print`.
  static func write(_ text: String) { print(text, terminator: "") }

  /// Hands over what is buffered; false when something could not be written, now or before.
  @discardableResult
  static func flush() -> Bool { fflush(nil) == 0 && ferror(stdout) == 0 }

  /// Writes to standard error, after what was printed before.
  static func error(_ text: String) {
    flush()
    var text = text
    text.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while let start = rest.baseAddress, rest.count > 0 {
        let count = Glibc.write(STDERR_FILENO, start, rest.count)
        if count < 0 && errno != EINTR { return }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(max(0, count)))
      }
    }
  }
}

/// Colours of a terminal; none elsewhere, and none when NO_COLOR is set.
struct Palette {
  let isOn: Bool

  init(for descriptor: Int32) {
    let forbidden = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
    let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? true
    isOn = isatty(descriptor) == 1 && !forbidden && !isDumb
  }

  enum Style: String {
    case bold = "1"
    case dim = "2"
    case red = "1;31"
    case green = "32"
    case yellow = "33"
    case cyan = "36"
  }

  func callAsFunction(_ style: Style, _ text: String) -> String {
    isOn ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }
}

enum Terminal {
  /// Columns of the terminal; 80 when there is none.
  static var width: Int {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 20 else { return 80 }
    return Int(size.ws_col)
  }
}
