// From the command line to an exit status.

import Glibc
import LuaRuntime
import Moongrad
import Tensors

/// One run of the command.
struct Launcher {
  enum Status {
    static let success: Int32 = 0
    static let scriptError: Int32 = 1
    static let wrongUsage: Int32 = 64
    static let interrupted: Int32 = 130
  }

  let arguments: [[UInt8]]
  let invocation: Invocation
  private var sources = Sources()
  private let palette = Palette(for: STDERR_FILENO)
  /// The globals of the steps and the script, where a sandbox makes some.
  private var environment: TableReference?

  private var configuration: Session.Configuration {
    var configuration = Session.Configuration(allowsProcesses: true)
    if invocation.isSandboxed {
      configuration = .sandboxed(
        memory: nil, time: nil, reading: invocation.readableFolders, writing: invocation.writableFolders)
    }
    configuration.exitsProcess = true
    configuration.memoryLimit = invocation.memoryLimit
    configuration.limits = RunLimits(
      time: invocation.timeLimit.map { .seconds($0) }, instructions: invocation.instructionLimit)
    configuration.allowsBinaryChunks = invocation.allowsBinaryChunks
    return configuration
  }

  /// Runs the command; its exit status. Arguments are bytes, so that file names in any encoding reach the script.
  static func run(_ arguments: [[UInt8]]) -> Int32 {
    // A reader that went away ends us quietly, also where a parent process had ignored the signal.
    signal(SIGPIPE, SIG_DFL)
    let status: Int32
    do {
      let invocation = try Invocation(arguments.map { String(bytes: $0) })
      var launcher = Launcher(arguments: arguments, invocation: invocation)
      status = launcher.perform()
    } catch {
      Output.error("moongrad: \(error.message.readable.withoutControls)\n\(Invocation.usage)\n")
      return Status.wrongUsage
    }
    if !Output.flush(), status == Status.success {
      Output.error("moongrad: not everything could be written to standard output\n")
      return Status.scriptError
    }
    return status
  }

  private init(arguments: [[UInt8]], invocation: Invocation) {
    self.arguments = arguments
    self.invocation = invocation
  }

  private mutating func perform() -> Int32 {
    switch invocation.action {
    case .help:
      Output.write(Invocation.help)
      return Status.success
    case .version:
      Output.write(Self.version)
      return Status.success
    case .document(let names): return DocumentCommand.run(names)
    case .run: break
    }
    if invocation.showsVersion { Output.write(Self.version) }
    do {
      let session = try Session(configuration)
      environment = try session.context.run { try session.freshEnvironment() }
      Interrupts.install(for: session.state)
      // What is printed here follows the session's settings too.
      return session.context.run {
        do {
          applySettings()
          try prepare(session)
          try runSteps(session)
          return try runScript(session)
        } catch {
          sources.files = session.state.loadedFiles
          return report(error)
        }
      }
    } catch {
      return report(error)
    }
  }

  static var version: String { "Moongrad \(Session.version), on Lua 5.4\n" }

  // MARK: Before the script

  private func applySettings() {
    if let threads = invocation.threads ?? (invocation.isDeterministic ? 1 : nil) { Threads.count = threads }
    if let seed = invocation.seed ?? (invocation.isDeterministic ? 0 : nil) { manualSeed(seed) }
  }

  /// The table `arg`, and modules beside the script.
  private func prepare(_ session: Session) throws {
    let zero = invocation.script == nil ? 0 : invocation.scriptIndex
    let fields = arguments.enumerated().map { index, bytes in
      (key: Value.integer(index - zero), value: Value(bytes))
    }
    try session.state.setGlobal("arg", .record(fields))
    if case .file(let path) = invocation.script { try session.addSearchPaths(beside: path.bytes) }
  }

  private mutating func runSteps(_ session: Session) throws {
    for step in invocation.steps {
      switch step {
      case .execute(let code):
        let name = "(command line)"
        sources.add(name, code.readable)
        try call(try session.state.load(bytes: code.bytes, chunkName: "=" + name), [], session)
      case .require(let variable, let module):
        guard case .function(let require) = try environment?.get("require") ?? session.state.global("require") else { continue }
        let value = try session.entering { try Interrupts.during { try require.call(Value(module.bytes)) }.first ?? .nil }
        if let environment {
          try environment.set(variable.readable, value)
        } else {
          try session.state.setGlobal(variable.readable, value)
        }
      }
    }
  }

  // MARK: The script

  private mutating func runScript(_ session: Session) throws -> Int32 {
    switch invocation.script {
    case .file(let path):
      sources.script = path.bytes
      try run(try readFile(path.bytes), Array("@".utf8) + path.bytes, session)
    case .standardInput:
      try runStandardInput(session)
    case nil:
      let isTerminal = isatty(STDIN_FILENO) == 1
      if isTerminal, invocation.isSandboxed, invocation.steps.isEmpty {
        throw UsageError(message: "'--sandbox' is for scripts, not for the console")
      }
      let hasRun = invocation.steps.contains { if case .execute = $0 { true } else { false } } || invocation.showsVersion
      if hasRun, !invocation.isInteractive { return Status.success }
      if !isTerminal, !invocation.isInteractive { try runStandardInput(session) }
      if isTerminal, !invocation.isInteractive { return try converse(session) }
    }
    return invocation.isInteractive ? try converse(session) : Status.success
  }

  private mutating func runStandardInput(_ session: Session) throws {
    let bytes = try readFile("/dev/stdin")
    sources.add("stdin", String(decoding: bytes, as: UTF8.self))
    try run(bytes, Array("=stdin".utf8), session)
  }

  private func run(_ source: [UInt8], _ name: [UInt8], _ session: Session) throws {
    let function = try session.state.load(bytes: scriptText(source), chunkName: name)
    let given = arguments.dropFirst(invocation.scriptIndex + 1).map { Value($0) }
    try call(function, given, session)
  }

  private func call(_ function: FunctionReference, _ arguments: [Value], _ session: Session) throws {
    if let environment { try function.setEnvironment(environment) }
    try session.entering { try Interrupts.during { _ = try function.call(arguments) } }
  }

  private func converse(_ session: Session) throws -> Int32 {
    try Console(session, sources).run(greeting: Self.version) ? Status.success : Status.scriptError
  }

  // MARK: Errors

  private func report(_ error: any Error) -> Int32 {
    if let error = error as? UsageError {
      Output.error("moongrad: \(error.message)\n\(Invocation.usage)\n")
      return Status.wrongUsage
    }
    guard let error = error as? LuaError else {
      Output.error("moongrad: \("\(error)".withoutControls)\n")
      return Status.scriptError
    }
    Output.error(ErrorReport(error: error, sources: sources, palette: palette).text(prefix: "moongrad: "))
    return error.kind == .interrupted ? Status.interrupted : Status.scriptError
  }
}
