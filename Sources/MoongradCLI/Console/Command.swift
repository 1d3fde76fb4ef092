// What begins with a colon or a question mark.

import Bindings
import Glibc
import LuaRuntime
import Moongrad
import Tensors

enum Command: Equatable {
  case help
  case describe(String)
  case who
  case time(String)
  case timeRepeatedly(String)
  case load(String)
  case memory
  case quit
  case unknown(String)
  /// A command without what it needs.
  case incomplete(String)

  static let names = ["help", "doc", "who", "time", "timeit", "load", "mem", "quit"]

  /// nil for a line of Lua.
  init?(_ line: String) {
    if line.hasPrefix("?") {
      self = .describe(String(line.drop { $0 == "?" }).trimmingSpace)
      return
    }
    if line.hasSuffix("?"), !line.contains("\"") && !line.contains("'") {
      self = .describe(String(line.reversed().drop { $0 == "?" }.reversed()).trimmingSpace)
      return
    }
    guard line.hasPrefix(":"), !line.hasPrefix("::") else { return nil }
    let parts = line.dropFirst().split(maxSplits: 1, whereSeparator: \.isWhitespace).map(String.init)
    let rest = parts.count > 1 ? parts[1].trimmingSpace : ""
    switch parts.first ?? "" {
    case "help", "h": self = rest.isEmpty ? .help : .describe(rest)
    case "doc": self = .describe(rest)
    case "who": self = .who
    case "time": self = rest.isEmpty ? .incomplete(":time needs an expression") : .time(rest)
    case "timeit": self = rest.isEmpty ? .incomplete(":timeit needs an expression") : .timeRepeatedly(rest)
    case "load": self = rest.isEmpty ? .incomplete(":load needs a file") : .load(rest)
    case "mem": self = .memory
    case "quit", "q": self = .quit
    default: self = .unknown(parts.first ?? "")
    }
  }

  static let helpText = """
    An expression prints its value; a trailing ; mutes it. _ is the last value, __ the one before.
    Unfinished input goes on at >>. local x = 1 stays visible on the next lines.

    ?name, name?     reference of a function, module or optimizer; what a variable is
    :who             your variables, their types, shapes and bytes
    :time EXPR       runs an expression and says how long it took
    :timeit EXPR     runs it again and again for half a second: the fastest, and the middle one
    :load FILE       runs a file; its variables stay, those declared local too
    :mem             memory of tensors and of Lua
    :quit            leaves, as does Ctrl-D

    Tab completes, Ctrl-R searches the history, Ctrl-C stops what runs or clears the line.

    """
}

extension Console {
  func run(_ command: Command) throws {
    switch command {
    case .help: Output.write(Command.helpText)
    case .describe(let name): try describe(name)
    case .who: try listVariables()
    case .time(let text): try time(text)
    case .timeRepeatedly(let text): try timeRepeatedly(text)
    case .load(let path): try load(path, rewritingLocals: true)
    case .memory:
      let (figures, lua) = (session.context.memoryUse, session.state.memory)
      Output.write("tensors  \(size(figures.live)), at most \(size(figures.peak)), limit \(size(figures.limit))\n")
      Output.write("cached   \(size(figures.cached))\n")
      Output.write("Lua      \(size(lua.bytes)), at most \(size(lua.peak))\n")
    case .quit: leave()
    case .incomplete(let message): throw LuaError(message)
    case .unknown(let name):
      let hint = nearest(name, Command.names).map { "; did you mean :\($0)?" } ?? "; :help lists them"
      throw LuaError("there is no command :\(name)\(hint)")
    }
  }

  // MARK: Help

  /// What a variable of the user's is, or the reference for a name, or what any other expression gives.
  private func describe(_ name: String) throws {
    if name.isEmpty { return Output.write(Command.helpText) }
    if let value = try variable(name) { return try describe(name, value) }
    if let text = Reference.text(for: name) { return Output.write(text + "\n") }
    if case .expression(let function) = try environment.compile(name, name: "(?)"),
      let value = try? call(function).first, value.isSomething
    {
      return try describe(name, value)
    }
    let hint = Reference.nearest(to: name).map { "; did you mean '\($0)'?" } ?? ""
    throw LuaError("there is no variable and no documentation '\(name)'\(hint)")
  }

  private func describe(_ name: String, _ value: Value) throws {
    let (type, detail) = try summary(value)
    Output.write("\(name): \(type)\(detail.isEmpty ? "" : ", " + detail)\n")
  }

  /// A variable of the user's own.
  private func variable(_ name: String) throws -> Value? {
    guard try environment.variables().contains(name) else { return nil }
    return try environment.value(name)
  }

  // MARK: Variables

  private func listVariables() throws {
    let rows = try environment.variables().map { name in
      let (type, detail) = try summary(try environment.value(name))
      return (name, type, detail)
    }
    if rows.isEmpty { return Output.write("no variables yet\n") }
    let widths = (rows.map { $0.0.count }.max()!, rows.map { $0.1.count }.max()!)
    for (name, type, detail) in rows {
      Output.write("\(name.padded(to: widths.0))  \(type.padded(to: widths.1))  \(detail)".trimmingTrailingSpace + "\n")
    }
  }

  private func summary(_ value: Value) throws -> (type: String, detail: String) {
    try session.state.withSlot(of: value) { slot in
      if let tensor = slot.object(tensorKind) {
        return (tensor.isParameter ? "Parameter" : "Tensor", "\(tensor.dtype) \(tensor.shape), \(size(tensor.storage.byteCount))")
      }
      if let module = slot.object(moduleKind) { return (module.kind, ValuePrinter.firstLine(module.description(indexBase: 1))) }
      switch slot.type {
      case .number: return ("number", ValuePrinter.number(slot))
      case .boolean: return ("boolean", "\(slot.isTruthy)")
      case .string: return ("string", ValuePrinter(maximumString: 40).quoted(slot.bytes ?? []))
      case .table:
        var count = 0
        try slot.forEachPair { _, _ in count += 1 }
        return (slot.metatableName ?? "table", count == 1 ? "1 field" : "\(count) fields")
      default: return (slot.typeName, "")
      }
    }
  }

  private func size(_ bytes: Int) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
    var (value, unit) = (Double(bytes), 0)
    while value >= 1024, unit < units.count - 1 { (value, unit) = (value / 1024, unit + 1) }
    return unit == 0 ? "\(bytes) bytes" : "\((value * 10).rounded() / 10) \(units[unit])"
  }

  // MARK: Time

  private func time(_ text: String) throws {
    let function = try timed(text)
    let start = ContinuousClock.now
    let values = try call(function)
    let elapsed = ContinuousClock.now - start
    try show(values, isMuted: text.hasSuffix(";"))
    Output.write(readable(elapsed) + "\n")
  }

  private func timeRepeatedly(_ text: String) throws {
    let function = try timed(text)
    var runs: [Duration] = []
    let end = ContinuousClock.now + .milliseconds(500)
    repeat {
      let start = ContinuousClock.now
      _ = try call(function)
      runs.append(ContinuousClock.now - start)
    } while ContinuousClock.now < end && runs.count < 1_000_000
    runs.sort()
    let count = runs.count == 1 ? "1 run" : "\(runs.count) runs"
    Output.write("\(readable(runs[0])) at best, \(readable(runs[runs.count / 2])) in the middle of \(count)\n")
  }

  private func timed(_ text: String) throws -> FunctionReference {
    switch try environment.compile(text, name: "(time)") {
    case .expression(let function), .statements(let function): return function
    case .incomplete(let error), .wrong(let error): throw error
    }
  }

  private func readable(_ duration: Duration) -> String {
    let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
    let (value, unit) = seconds < 1e-3 ? (seconds * 1e6, "µs") : seconds < 1 ? (seconds * 1e3, "ms") : (seconds, "s")
    let digits: Double = value < 10 ? 100 : value < 100 ? 10 : 1
    let rounded = (value * digits).rounded() / digits
    return (digits == 1 ? String(Int(rounded)) : "\(rounded)") + " " + unit
  }
}

extension Value {
  fileprivate var isSomething: Bool { if case .nil = self { false } else { true } }
}
