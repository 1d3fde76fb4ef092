// A Lua state, and the map of this module.
import CLuaShim
import Glibc

/// A stock Lua 5.4 state whose native functions are Swift closures and whose objects are Swift classes.
///
/// The module in one page, bottom first:
///
/// - ``HandleKind`` names a Swift class that scripts can hold; ``State/define(_:inheriting:_:)`` says what they
///   see of it (methods, properties, metamethods). Kinds are process-wide constants, members are per state.
/// - ``NativeFunction`` is a closure `(inout Call) throws -> Void`. ``Call`` reads the arguments — `call.count`,
///   `call.integer(1)`, `call.object(1, tensorKind)`, or a ``Slot`` for anything deeper — and takes the results:
///   `call.returns(tensor, tensorKind)`, `call.returns(3.5)`, `call.returnsList(n)` followed by `n` values.
///   Thrown errors become Lua errors with the caller's position.
/// - ``Value`` is the host's view of a Lua value; tables and functions come as ``TableReference`` and
///   ``FunctionReference``, which keep their Lua value alive.
/// - ``State/run(source:chunkName:arguments:)``, ``State/run(file:arguments:)``, ``State/evaluate(_:)`` run scripts;
///   everything that fails does so with a ``LuaError``.
/// - ``State/register(module:_:)`` and ``State/subscript(_:)`` make values known to scripts.
/// - ``State/claim(bytes:)`` and ``State/unclaim(bytes:)`` tell the collector of memory it does not see; a library with
///   an account of its own gives it to ``State/readLiveBytes(from:)`` once and says ``Call/pace(bytes:)`` per result.
/// - ``Interrupter`` stops a running script from anywhere.
/// - ``State/word`` is sixty-two bits that belong to the running coroutine.
///
/// A state belongs to one thread at a time. It is not `Sendable`, and neither is anything it hands out except
/// the ``Interrupter``.
public final class State {
  /// A set of standard libraries. The base library (`print`, `pcall`, `load` …) is always there.
  public struct Libraries: OptionSet, Sendable {
    /// One bit for each library.
    public let rawValue: UInt32
    /// A set with those bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Lua's own libraries, each under its name in scripts; `package` brings `require` too.
    public static let package = Libraries(rawValue: UInt32(ML_LIBRARY_PACKAGE))
    /// `coroutine`.
    public static let coroutine = Libraries(rawValue: UInt32(ML_LIBRARY_COROUTINE))
    /// `table`.
    public static let table = Libraries(rawValue: UInt32(ML_LIBRARY_TABLE))
    /// `io`: files.
    public static let io = Libraries(rawValue: UInt32(ML_LIBRARY_IO))
    /// `os`: time, the environment, programs.
    public static let os = Libraries(rawValue: UInt32(ML_LIBRARY_OS))
    /// `string`, and the methods of strings.
    public static let string = Libraries(rawValue: UInt32(ML_LIBRARY_STRING))
    /// `math`.
    public static let math = Libraries(rawValue: UInt32(ML_LIBRARY_MATH))
    /// `utf8`.
    public static let utf8 = Libraries(rawValue: UInt32(ML_LIBRARY_UTF8))
    /// `debug`, which can reach behind everything.
    public static let debug = Libraries(rawValue: UInt32(ML_LIBRARY_DEBUG))
    /// All of them.
    public static let all: Libraries = [.package, .coroutine, .table, .io, .os, .string, .math, .utf8, .debug]
  }

  /// What a new state is like.
  public struct Configuration: Sendable {
    /// The standard libraries that scripts find.
    public var libraries = Libraries.all
    /// The most bytes that Lua's own blocks and claimed native memory may take together; `nil` for no limit.
    public var memoryLimit: Int?
    /// Whether `load` and its kin accept precompiled chunks, which can crash the interpreter when forged.
    public var allowsBinaryChunks = false
    /// Whether `os.exit` ends the process, as in `lua`, and not only the script.
    public var exitsProcess = false
    /// How the names of chunks begin that belong to a library: their lines are no sites.
    public static let internalPrefix = "=moongrad."
    /// Receives each complete warning (`warn`, errors in finalizers). `nil` prints to standard error.
    public var warningSink: (@Sendable (String) -> Void)?
    /// Tests only: the allocation that fails (counting from 1), and whether all later ones fail too.
    package var failingAllocation: (index: Int, onwards: Bool)?

    /// All libraries and no precompiled chunks, with that limit in bytes.
    public init(memoryLimit: Int? = nil) { self.memoryLimit = memoryLimit }
  }

  /// The C side's record, which outlives the state while references to its values exist.
  public let pointer: UnsafeMutablePointer<ml_state>
  let configuration: Configuration
  /// The getters and setters of kinds, and what answers for other fields: kept here, since a script that has `debug` could
  /// drop one while it runs.
  var fieldFunctions: [NativeFunction] = []
  /// Swift errors on their way through Lua, newest last; see `LuaError.cause`.
  var travellers: [Traveller] = []
  /// How many there have been, and how many before the innermost host call under way.
  var travellerCount = 0
  var travellersBefore = 0

  /// What the running script waits for, and where, on the way from the call to the routine.
  var awaited: (operation: Routine.Operation, position: String)?

  /// What a library keeps in force while Lua runs: called at every way in, and with what that gave on the way out.
  public struct Surroundings {
    let enter: () -> UnsafeMutableRawPointer?
    let leave: (UnsafeMutableRawPointer?) -> Void

    /// `leave` is given what the `enter` before it returned.
    public init(
      enter: @escaping () -> UnsafeMutableRawPointer?, leave: @escaping (UnsafeMutableRawPointer?) -> Void
    ) {
      self.enter = enter
      self.leave = leave
    }
  }
  private let surroundings: Surroundings?
  /// What the library of the state keeps with it. References to Lua values may be among it.
  public var companion: AnyObject?
  /// Whoever opened the state for scripts, for native functions that serve any of them.
  public weak var owner: AnyObject?
  /// Says which kind the values of a Swift type have in this state, for handles whose makers do not know the state; nil for none.
  public var kindOfType: ((Any.Type) -> HandleKind<AnyObject>?)?

  /// Opens a state with the standard libraries.
  public init(_ configuration: Configuration = Configuration(), surroundings: Surroundings? = nil) throws {
    self.surroundings = surroundings
    var config = ml_config()
    config.release = { object, _ in Unmanaged<AnyObject>.fromOpaque(object!).release() }
    config.is_sole = isSoleOwner
    config.copy = copyNumbers
    config.callback = nativeEntry
    if configuration.warningSink != nil {
      config.warn = { host, message, length in State.warn(host!, message!, length) }
    }
    config.memory_limit = configuration.memoryLimit.map { max(1, $0) } ?? 0
    config.binary_chunks = configuration.allowsBinaryChunks
    config.exits = configuration.exitsProcess
    config.internal = internalPrefix
    if let failing = configuration.failingAllocation {
      config.fail_at = UInt64(failing.index)
      config.fail_onwards = failing.onwards
    }
    guard let pointer = ml_open(&config) else { throw LuaError(.memory, "not enough memory for a Lua state") }
    self.pointer = pointer
    self.configuration = configuration
    pointer.pointee.config.host = Unmanaged.passUnretained(self).toOpaque()
    try withLua { lua in try check(ml_open_libraries(pointer, lua, configuration.libraries.rawValue), lua) }
  }

  deinit {
    close()
    ml_release(pointer)
  }

  /// Lets go of every Lua value, and runs the finalizers of scripts; what is done with the state afterwards throws. Limits that are in
  /// force hold, and so does an interruption.
  public func close() {
    let outer = surroundings?.enter()
    ml_close(pointer)
    surroundings?.leave(outer)
  }

  /// Bytes in use by Lua's own blocks and by values on their way into Lua now, and the most there ever were.
  public var memory: (bytes: Int, peak: Int) {
    let counts = self.counts
    return (counts.bytes, counts.peak)
  }

  /// The number of handles that scripts have not let go of, or that were not collected yet.
  public var handleCount: Int { counts.handles }

  var counts: ml_counts { ml_count(pointer) }

  /// Collects all garbage now. Does nothing inside a finalizer.
  public func collect() {
    _ = try? withLua { _ in ml_collect(pointer) }
  }

  /// Runs `body` without the collector, for what makes much and little garbage.
  package func withoutCollecting<Result>(_ body: () throws -> Result) rethrows -> Result {
    ml_set_collecting(pointer, false)
    defer { ml_set_collecting(pointer, true) }
    return try body()
  }

  /// Tells the collector that a handle's object holds that much native memory. Claims pace the collection
  /// and count toward the memory limit.
  @inlinable public func claim(bytes: Int) { ml_claim(pointer, bytes) }

  /// Takes back a claim. May be called from a `deinit` that the collector caused.
  @inlinable public func unclaim(bytes: Int) { ml_unclaim(pointer, bytes) }

  /// Tells where the native memory in use can be read, for libraries that keep an account of their own. Claims
  /// then only pace the collector; the account decides about full collections and the memory limit.
  public func readLiveBytes(from account: @escaping @convention(c) () -> Int64) {
    pointer.pointee.config.live = account
  }

  /// Whether that many more bytes would exceed the memory limit.
  public func wouldExceedLimit(bytes: Int) -> Bool { ml_would_exceed(pointer, bytes) }

  /// Sixty-two bits of the running coroutine. A new coroutine starts with those of the one that first
  /// resumes it; a script's own are those of the host, and what it leaves there stays.
  public var word: UInt64 {
    get { ml_word(pointer.pointee.current) }
    set { ml_set_word(pointer.pointee.current, newValue) }
  }

  // MARK: Output

  /// Receives what scripts write with `print`, `io.write` and `io.stdout:write`; nil writes to standard output.
  public var output: ((UnsafeRawBufferPointer) -> Void)? {
    didSet {
      if output == nil {
        pointer.pointee.config.write = nil
      } else {
        pointer.pointee.config.write = { host, bytes, length in
          let state = Unmanaged<State>.fromOpaque(host!).takeUnretainedValue()
          state.output?(UnsafeRawBufferPointer(start: bytes, count: length))
        }
      }
    }
  }

  /// Writes as `print` does.
  public func print(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { ml_write_output(pointer, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
  }

  // MARK: Lines

  /// The script's line that made a native call, as a number that is valid in the whole process; 0 when no script did.
  /// For the call whose ``Call/caller`` is given, as long as that lasts. Takes 10 ns.
  public static let site: @convention(c) (UnsafeMutableRawPointer) -> UInt32 = { caller in
    ml_site(caller.assumingMemoryBound(to: ml_state.self))
  }

  /// `train.lua:12` for a site; nil for 0.
  public static func line(of site: UInt32) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      let length = ml_site_text(site, buffer.baseAddress, buffer.count)
      return length == 0 ? nil : String(decoding: UnsafeRawBufferPointer(start: buffer.baseAddress, count: length), as: UTF8.self)
    }
  }

  // MARK: Entering Lua

  /// Runs `body` with the running coroutine, and restores its stack afterwards.
  func withLua<Result>(_ body: (OpaquePointer) throws -> Result) throws -> Result {
    guard let lua = ml_enter(pointer) else {
      try checkThread()
      throw LuaError.unavailable
    }
    let top = lua_gettop(lua)
    let before = travellersBefore
    travellersBefore = travellerCount
    let outer = surroundings?.enter()
    defer {
      surroundings?.leave(outer)
      travellersBefore = before
      ml_leave(pointer, lua, top)
      if !ml_is_entered(pointer) { travellers.removeAll(keepingCapacity: true) }
    }
    return try body(lua)
  }

  /// Throws where another thread is inside of the state, which belongs to one at a time.
  public func checkThread() throws {
    if ml_is_elsewhere(pointer) {
      throw LuaError(.unavailable, "the Lua state is in use by another thread; only its interrupter may be used meanwhile")
    }
  }

  /// Throws the error on top of the stack unless `status` is success.
  @inline(__always)
  func check(_ status: Int32, _ lua: OpaquePointer) throws {
    if status != LUA_OK { throw captureError(status, lua) }
  }

  /// The state that a record belongs to.
  static func owning(_ pointer: UnsafeMutablePointer<ml_state>) throws -> State {
    guard ml_is_open(pointer), let host = pointer.pointee.config.host else {
      throw LuaError.unavailable
    }
    return Unmanaged<State>.fromOpaque(host).takeUnretainedValue()
  }

  private static func warn(_ host: UnsafeMutableRawPointer, _ message: UnsafePointer<CChar>, _ length: Int) {
    let state = Unmanaged<State>.fromOpaque(host).takeUnretainedValue()
    let bytes = UnsafeRawBufferPointer(start: message, count: length)
    state.configuration.warningSink?(String(decoding: bytes, as: UTF8.self))
  }
}

/// Asks a running script to stop, from any thread or from a signal handler.
///
/// The script ends with the error "interrupted!", which `pcall` does not catch; the state stays usable. One that waits for the host
/// ends when it would go on. Nothing happens when no script runs or waits.
public final class Interrupter: @unchecked Sendable {
  private let pointer: UnsafeMutablePointer<ml_state>
  private let watch: Watchdog.Watch

  /// For that state, which it may outlive.
  public init(_ state: State) {
    pointer = state.pointer
    ml_retain(pointer)
    watch = Watchdog.shared.attend(pointer)
  }
  deinit {
    Watchdog.shared.end(watch)
    ml_release(pointer)
  }

  /// Asks the running script to stop, and returns at once.
  public func interrupt() { ml_interrupt(pointer) }

  /// The argument for ``interrupt(opaque:)`` in a C signal handler. Valid as long as this object.
  public var opaque: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer) }

  /// As ``interrupt()``, without touching a Swift object; safe in a signal handler.
  public static func interrupt(opaque: UnsafeMutableRawPointer) {
    ml_interrupt(opaque.assumingMemoryBound(to: ml_state.self))
  }
}

/// The prefix as C keeps it: for the life of the process.
nonisolated(unsafe) private let internalPrefix = UnsafePointer(strdup(State.Configuration.internalPrefix)!)
