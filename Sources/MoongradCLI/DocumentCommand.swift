// `moongrad doc NAME`: the reference, from the same lists that scripts' functions come from.

import Moongrad

enum DocumentCommand {
  static func run(_ names: [String]) -> Int32 {
    if names.isEmpty {
      Output.write(columns(Reference.names, width: 80) + "\nmoongrad doc NAME tells more about each.\n")
      return Launcher.Status.success
    }
    var status = Launcher.Status.success
    for name in names {
      if let text = Reference.text(for: name) {
        Output.write(text + "\n")
      } else {
        let hint = Reference.nearest(to: name).map { "; did you mean '\($0)'?" } ?? ""
        Output.error("moongrad: there is no documentation of '\(name)'\(hint)\n")
        status = Launcher.Status.scriptError
      }
    }
    return status
  }

  /// Words in columns, read downwards.
  static func columns(_ words: [String], width: Int) -> String {
    let cell = (words.map(\.count).max() ?? 0) + 2
    let count = max(1, width / cell)
    let rows = (words.count + count - 1) / count
    return (0..<rows).map { row in
      stride(from: row, to: words.count, by: rows).map { words[$0].padded(to: cell) }.joined().trimmingTrailingSpace + "\n"
    }.joined()
  }
}
