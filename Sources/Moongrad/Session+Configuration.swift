// What a session is opened with: libraries, limits, and how much scripts are trusted.

import LuaRuntime

/// A number of bytes.
public struct ByteCount: Sendable, Hashable, ExpressibleByIntegerLiteral {
  /// How many.
  public var bytes: Int

  /// So many bytes: `65536`.
  public init(integerLiteral bytes: Int) { self.bytes = bytes }
  /// Not negative, and at most what an `Int` holds.
  public init(_ bytes: Int) { self.bytes = max(0, bytes) }

  /// So many.
  public static func bytes(_ count: Int) -> ByteCount { ByteCount(count) }
  /// So many times 1024 bytes.
  public static func kilobytes(_ count: Int) -> ByteCount { times(count, 1 << 10) }
  /// So many times 1024² bytes.
  public static func megabytes(_ count: Int) -> ByteCount { times(count, 1 << 20) }
  /// So many times 1024³ bytes.
  public static func gigabytes(_ count: Int) -> ByteCount { times(count, 1 << 30) }

  private static func times(_ count: Int, _ unit: Int) -> ByteCount {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: unit)
    return ByteCount(overflow ? .max : bytes)
  }
}

extension Session {
  /// The standard libraries of Lua, a set of them.
  public typealias Libraries = State.Libraries

  /// What a new session is like.
  ///
  /// ```swift
  /// let trusted = try Session()
  /// let session = try Session(.sandboxed(memory: .megabytes(64), time: .seconds(1)))
  /// ```
  public struct Configuration: Sendable {
    /// The most bytes that Lua's values and the session's tensors may take together; nil for no limit. Tensors that the host
    /// made outside of the session do not count.
    public var memoryLimit: Int?

    /// Whether scripts may start copies of this process to use all processors, as `mg.experiment` does. Only for a process whose other
    /// threads hold no locks that a script could need, since a copy has the calling thread alone: the command allows it.
    public var allowsProcesses: Bool

    /// Whether a script's `os.exit` ends the process, as in the command. Otherwise it ends the script, by an error of the kind `exit`
    /// that no `pcall` catches.
    public var exitsProcess = false

    /// What every call into scripts may take, from where the host calls to where that returns.
    public var limits = RunLimits()

    /// Which of Lua's standard libraries scripts find. Without `io` they have no files.
    public var libraries = Libraries.all

    /// Whether `load` accepts precompiled chunks, which can crash the interpreter when they are forged. Never in a sandbox.
    public var allowsBinaryChunks = false

    /// Whether scripts are not trusted; see ``sandboxed(memory:time:instructions:reading:writing:)``.
    public var isSandboxed = false

    /// Folders whose files scripts of a sandbox may read, and those in which they may write and read.
    public var readableFolders: [String] = []
    /// Folders in which scripts of a sandbox may write files, and read them.
    public var writableFolders: [String] = []

    /// That limit in bytes, nil for none, and whether scripts may start processes.
    public init(memoryLimit: Int? = nil, allowsProcesses: Bool = false) {
      self.memoryLimit = memoryLimit
      self.allowsProcesses = allowsProcesses
    }

    /// For scripts that are not trusted: they have Lua's `coroutine math string table utf8` and of `os` the functions of time, no files but
    /// in the folders that are lent, no programs, no environment, no precompiled code and no finalizers. Each script has globals of its
    /// own, and whatever it does to the tables that it reaches, the next one finds them as they were. Globals that the host sets are seen
    /// by all.
    ///
    /// The limits hold for each call into scripts; nil is for none. Nothing in a script escapes them, and after one was exceeded the
    /// session works as before. Kernels are left early, too, within a twentieth of a second as a rule. For hostile scripts use a process
    /// of their own besides: a defect of the interpreter or of this library is not a limit that it could keep.
    public static func sandboxed(
      memory: ByteCount? = .megabytes(256), time: Duration? = .seconds(5), instructions: Int? = nil, reading: [String] = [],
      writing: [String] = []
    ) -> Configuration {
      var configuration = Configuration(memoryLimit: memory?.bytes)
      configuration.limits = RunLimits(time: time, instructions: instructions)
      configuration.libraries = [.package, .coroutine, .table, .string, .math, .utf8, .os]
      configuration.isSandboxed = true
      configuration.readableFolders = reading
      configuration.writableFolders = writing
      return configuration
    }
  }
}
