// The conversation: a line in, a value out.

import Glibc
import LuaRuntime
import Moongrad

/// The console of `moongrad`: reads lines, runs them, prints what they give, and goes on after errors.
final class Console {
  let session: Session
  let environment: Environment
  private let reader: any LineReader
  private let palette = Palette(for: STDOUT_FILENO)
  private var sources: Sources
  private var inputs = 0
  private var hasFailed = false
  private var isOver = false

  init(_ session: Session, _ sources: Sources) throws {
    self.session = session
    self.sources = sources
    let library = try session.state.run(source: Self.preparation, chunkName: "=(console)")
    let environment = try Environment(session)
    self.environment = environment
    if isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1 {
      var modules: TableReference?
      if case .table(let table)? = library.first { modules = table }
      let completer = Completer(environment: environment.table, globals: environment.globals, modules: modules)
      reader = EditingLineReader(historyPath: Places.history) { completer.complete($0) }
    } else {
      reader = PlainLineReader()
    }
  }

  /// `mg nn optim F` and `help` are there from the start; the result is `nn.Module`.
  private static let preparation = """
    mg = require "moongrad"
    nn, optim, F, help = mg.nn, mg.optim, mg.nn.functional, mg.help
    return nn.Module
    """

  /// Talks until the end of input; whether a script can take that for success. On a terminal it always can.
  func run(greeting: String) -> Bool {
    Interrupts.stayAlive = true
    defer { Interrupts.stayAlive = false }  // what runs at the end can be ended
    if reader.isInteractive {
      Output.write("\(greeting)\(palette(.dim, ":help tells what can be typed here; Ctrl-D leaves"))\n")
    }
    if let path = Places.initialisation { perform { try load(path, rewritingLocals: false) } }
    while !isOver {
      switch reader.read(prompt: prompt("> ")) {
      case .text(let line): take(line)
      case .interrupted: continue
      case .end:
        if reader.isInteractive { Output.write("\n") }
        isOver = true
      }
    }
    return reader.isInteractive || !hasFailed
  }

  private func prompt(_ text: String) -> String {
    // libedit wants to know which characters take no room, and forgets those after the last that does.
    palette.isOn ? "\u{1}\u{1b}[32m\u{2}\(text.dropLast())\u{1}\u{1b}[0m\u{2} " : text
  }

  // MARK: One input

  private func take(_ line: String) {
    reader.remember(line)
    let text = line.trimmingSpace
    if text.isEmpty { return }
    if let command = Command(text) { return perform { try run(command) } }
    perform { try self.evaluate(first: line) }
  }

  /// Reads on until the input is complete, and runs it.
  private func evaluate(first line: String) throws {
    inputs += 1
    let name = "[\(inputs)]"
    var text = line
    while true {
      sources.add(name, text)
      switch try environment.compile(text, name: name) {
      case .wrong(let error): throw error
      case .expression(let function): return try show(try call(function), isMuted: text.trimmingSpace.hasSuffix(";"))
      case .statements(let function): return try show(try call(function), isMuted: text.trimmingSpace.hasSuffix(";"))
      case .incomplete(let error):
        switch reader.read(prompt: prompt(">> ")) {
        case .text(let more):
          reader.remember(more)
          text += "\n" + more
        case .interrupted: return
        case .end:
          isOver = true
          if reader.isInteractive { Output.write("\n") } else { throw error }
          return
        }
      }
    }
  }

  /// Runs a function with Ctrl-C going to it.
  func call(_ function: FunctionReference) throws -> [Value] {
    try Interrupts.during { try function.call() }
  }

  /// Prints results, and keeps the first as `_`, the one before as `__`.
  func show(_ values: [Value], isMuted: Bool) throws {
    guard let first = values.first else { return }
    try environment.keep("__", try environment.value("_"))
    try environment.keep("_", first)
    if isMuted { return }
    let texts = try values.map { try text($0) }
    Output.write(texts.joined(separator: texts.contains { $0.contains("\n") } ? "\n" : "\t") + "\n")
  }

  /// The printed form: tables with their contents unless they have a form of their own.
  private func text(_ value: Value) throws -> String {
    if case .table(let table) = value {
      let hasText: Bool = try table.read { slot in
        try slot.withMetatable { try $0.withField("__tostring") { !$0.isNil } } ?? false
      }
      if !hasText { return try table.read { try ValuePrinter(width: Terminal.width).text(ofTable: $0) } }
    }
    return try Interrupts.during { try environment.text(value) }
  }

  // MARK: Files

  /// Runs a file with the console's variables. Its top-level locals stay when they are rewritten.
  func load(_ path: String, rewritingLocals: Bool) throws {
    sources.files.insert(path)
    let text = String(decoding: try readFile(path), as: UTF8.self)
    let lines = text.hasPrefix("#") ? "--" + text : text
    switch try environment.compile(lines, file: path, rewritingLocals: rewritingLocals) {
    case .success(let function): _ = try call(function)
    case .failure(let error): throw error
    }
  }

  // MARK: Errors

  /// Runs `body`; errors are shown, and the session goes on.
  func perform(_ body: () throws -> Void) {
    do {
      try body()
    } catch let error as LuaError {
      hasFailed = true
      sources.files.formUnion(session.state.loadedFiles)
      var report = ErrorReport(error: error, sources: sources, palette: palette)
      report.tracebackLimit = 8
      report.isTerse = true
      // The terminal has written ^C without a new line.
      let start = error.kind == .interrupted && reader.isInteractive ? "\n" : ""
      Output.error(start + report.text(prefix: "error: "))
    } catch {
      hasFailed = true
      Output.error("error: \("\(error)".withoutControls)\n")
    }
  }

  func leave() { isOver = true }
}

/// Files of the user's.
enum Places {
  /// `$XDG_STATE_HOME/moongrad/history`; its directory is made, but no home of one who has none.
  static var history: String? {
    let home = variable("HOME").flatMap { access($0, F_OK) == 0 ? $0 : nil }
    guard let base = variable("XDG_STATE_HOME") ?? home.map({ $0 + "/.local/state" }) else { return nil }
    let directory = base + "/moongrad"
    var path = ""
    for part in directory.split(separator: "/", omittingEmptySubsequences: false) {
      path += part + "/"
      mkdir(path, 0o700)
    }
    return directory + "/history"
  }

  /// `$XDG_CONFIG_HOME/moongrad/init.lua`, if there is one.
  static var initialisation: String? {
    guard let base = variable("XDG_CONFIG_HOME") ?? variable("HOME").map({ $0 + "/.config" }) else { return nil }
    let path = base + "/moongrad/init.lua"
    return access(path, F_OK) == 0 ? path : nil
  }

  private static func variable(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
