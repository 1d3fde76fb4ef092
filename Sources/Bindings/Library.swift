// The library `moongrad` as scripts see it: every table, put together once for a state.

import Files
import Glibc
import LuaRuntime
import Tensors
import Training

/// Makes `require "moongrad"` work in a state.
public enum Library {
  /// Moongrad's version, as `moongrad --version` prints it.
  public static let version = "0.1.0"

  /// Defines every kind of handle and registers the module. To be called once for a state, before scripts run, in the context
  /// that the state puts into force.
  ///
  /// `allowsProcesses` says whether scripts may start copies of this process. Returns how objects of scripts' own classes are read.
  @discardableResult
  public static func install(in state: State, allowsProcesses: Bool = false) throws -> Instances {
    try state.withoutCollecting { try installed(in: state, allowsProcesses) }
  }

  private static func installed(in state: State, _ allowsProcesses: Bool) throws -> Instances {
    // Handles pace the collector; what tensors hold in all decides when it collects everything.
    state.readLiveBytes { Context.liveBytes }
    let companions = try Companions(state, allowsProcesses: allowsProcesses)
    state.companion = companions
    // Recorded operations remember the script's line.
    Site.locate(by: State.site)
    Site.describe { State.line(of: $0) }
    let common = CommonFunctions.all
    for define in common.kinds { try define(state) }
    let modules = companions.modules
    let fields = common.fields + [(.string("nn"), .record(common.moduleFields + Modules.constructors(modules)))]
    try state.register(module: "moongrad", .record(fields))

    guard case .table(let mg)? = try state.evaluate("require 'moongrad'").first, case .table(let nnTable) = try mg.get("nn") else {
      throw LuaError("the library could not be registered")
    }
    // One table for all chunks.
    let primitiveTable = try state.run(source: "return ...", arguments: [.record(common.primitives)])[0]
    @discardableResult
    func run(_ name: String, _ resource: [UInt8], _ more: Value...) throws -> [Value] {
      try state.run(library: name, resource, [primitiveTable, .table(mg), .table(nnTable)] + more, in: companions.environment)
    }
    let scripted = try run("modules", PackageResources.modules_lua)
    guard scripted.count == 4, case .table(let methods) = scripted[0], case .function(let runHooked) = scripted[1],
      case .table(let access) = scripted[2]
    else { throw LuaError("modules.lua returned no methods") }
    let reading = try functions(of: access)
    guard let contents = reading["contents"], let className = reading["class_name"], let put = reading["put"], let extra = reading["extra"]
    else { throw LuaError("modules.lua returned no way to read modules") }
    let instances = Instances(list: contents, className: className, put: put, extra: extra)
    modules.instances = instances
    try run("containers", PackageResources.containers_lua, scripted[3])
    try run("copies", PackageResources.copies_lua, scripted[3])
    if case .function(let copy) = try mg.get("deepcopy") { instances.copy = copy }
    guard case .function(let groupLists)? = try run("optim", PackageResources.optim_lua).first else {
      throw LuaError("optim.lua returned no function")
    }
    try state.define(optimizerKind, Optimizers.members(groupLists: groupLists))
    try state.define(groupKind, Optimizers.groupMembers(groupLists: groupLists))
    try run("autograd", PackageResources.autograd_lua)
    try run("prelude", PackageResources.prelude_lua)
    let helpers = try run("functional", PackageResources.functional_lua)
    guard let shared = helpers.first else { throw LuaError("functional.lua returned nothing") }
    if case .function(let repack)? = try run("utils", PackageResources.utils_lua, shared).first { modules.repack = repack }
    try run("parametrize", PackageResources.parametrize_lua, shared, scripted[3])
    try run("swa", PackageResources.swa_lua, shared, scripted[3])
    try run("later", PackageResources.later_lua, shared, scripted[3], .native(part))
    try state.define(moduleKind, Modules.members(try functions(of: methods), runHooked: runHooked, modules))
    return instances
  }

  /// Those that Lua/later.lua reads when they are needed.
  private static let laterParts = [
    "data": PackageResources.data_lua, "loader": PackageResources.loader_lua, "readers": PackageResources.readers_lua,
    "checkpoints": PackageResources.checkpoints_lua, "loops": PackageResources.loops_lua, "freezing": PackageResources.freezing_lua,
    "lora": PackageResources.lora_lua, "results": PackageResources.results_lua, "experiments": PackageResources.experiments_lua,
    "freeze_search": PackageResources.freeze_search_lua, "gradcheck": PackageResources.gradcheck_lua, "func": PackageResources.func_lua,
    "forward": PackageResources.forward_lua, "vmap": PackageResources.vmap_lua, "jacobians": PackageResources.jacobians_lua,
  ]

  /// part(name, …): runs one of them with the arguments.
  private static var part: NativeFunction {
    NativeFunction("part") { call in
      guard let name = call.string(1), let source = laterParts[name] else { throw ArgumentError("the library has no such part") }
      let arguments = try stride(from: 2, through: call.count, by: 1).map { try call.value($0) }
      for value in try call.state.run(library: name, source, arguments, in: call.state.companions.environment) { call.returns(value) }
    }
  }

  private static func functions(of table: TableReference) throws -> [String: FunctionReference] {
    var names: [String] = []
    try table.read { try $0.forEachPair { key, _ in if let name = key.string { names.append(name) } } }
    var functions: [String: FunctionReference] = [:]
    for name in names {
      if case .function(let function) = try table.get(name) { functions[name] = function }
    }
    return functions
  }

  /// What the chunks in Lua/ are built on, beside what others answer for.
  static var primitives: [String: NativeFunction] {
    [
      // write_error(text): writes to standard error.
      "write_error": NativeFunction("write_error") { call in
        _ = call[1].withBytes { write(2, $0.baseAddress, $0.count) }
      },
      // warn(text)
      "warn": NativeFunction("warn") { call in call.state.warn(call.string(1) ?? "") },
      "is_terminal": NativeFunction("is_terminal") { call in call.returns(isatty(2) == 1) },
      // help_text(name): the reference text, or nil.
      "help_text": NativeFunction("help_text") { call in
        if let text = Help.text(for: call.string(1) ?? "") { call.returns(text) } else { call.returnsNil() }
      },
      "help_names": NativeFunction("help_names") { call in
        let names = Help.names
        call.returnsList(names.count)
        for name in names { call.returns(name) }
      },
    ]
  }

  /// `mg.name`, of no operation.
  static var functions: [String: NativeFunction] {
    [
      "tensor": Construction.tensor,
      "set_default_dtype": NativeFunction("set_default_dtype") { call in
        guard let name = call.string(1) else {
          throw ArgumentError("set_default_dtype: expected a float dtype such as \"float64\", got \(Decoder.found(call[1]))")
        }
        let dtype = try DType(named: name)
        guard dtype.isFloating else { throw ArgumentError("set_default_dtype: only float dtypes can be the default, not \(dtype)") }
        DType.defaultFloating = dtype
      },
      "get_default_dtype": NativeFunction("get_default_dtype") { call in call.returns(DType.defaultFloating.description) },
      "set_num_threads": NativeFunction("set_num_threads") { call in
        guard let count = call.integer(1), count >= 1, count <= 1024 else {
          throw ArgumentError("set_num_threads: expected a count from 1 to 1024, got \(Decoder.found(call[1]))")
        }
        Threads.count = count
      },
      "get_num_threads": NativeFunction("get_num_threads") { call in call.returns(Threads.count) },
      "clock": NativeFunction("clock") { call in
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        call.returns(Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9)
      },
      "memory": NativeFunction("memory") { call in
        let figures = Context.memoryUse
        call.returnsRecord(4)
        for (name, value) in [("live", figures.live), ("peak", figures.peak), ("cached", figures.cached), ("limit", figures.limit)] {
          call.returns(name)
          call.returns(value)
        }
      },
      "set_printoptions": NativeFunction("set_printoptions") { call in try setPrintOptions(call[1]) },
      // broadcast_shapes(shape, …): sizes as lists, or single ones.
      "broadcast_shapes": native("broadcast_shapes") { call in
        var common = Shape()
        for position in 1..<call.count + 1 {
          var sizes: [Int] = []
          let slot = call[position]
          if slot.type == .table {
            try slot.forEachElement { _, element in sizes.append(try size(element)) }
          } else {
            sizes.append(try size(slot))
          }
          common = try Shape.broadcast(common, Shape(sizes, operation: "broadcast_shapes"), "broadcast_shapes")
        }
        try call.returns(sizes: common.array)
      },
      "allclose": TensorMembers.allClose(isMethod: false),
      "equal": native("equal") { call in
        call.returns(try call.tensor(1, "equal").equal(call.tensor(2, "equal")))
      },
    ]
  }

  /// Takes from scripts what a sandbox has not. To be called once, after ``install(in:allowsProcesses:)``; the result makes the globals
  /// of one script, given the folders in which its `require` looks.
  public static func sandbox(_ state: State, lendsFiles: Bool) throws -> FunctionReference {
    try state.withoutCollecting { try sandboxed(state, lendsFiles) }
  }

  private static func sandboxed(_ state: State, _ lendsFiles: Bool) throws -> FunctionReference {
    let companions = try state.companions
    try companions.environment.set("has_folders", .boolean(lendsFiles))
    guard case .table(let mg)? = try state.evaluate("require 'moongrad'").first, case .table(let globals) = try state.global("_G"),
      case .function(let fresh)? = try state.run(
        library: "sandbox", PackageResources.sandbox_lua,
        [
          .record(["read_module": Experiments.primitives["read_module"]!].mapValues(Value.native)), .table(mg), .table(globals),
          .boolean(lendsFiles),
        ],
        in: companions.environment
      ).first
    else { throw LuaError("the sandbox could not be made") }
    return fresh
  }

  /// What makes the globals of one script, in a state that is no sandbox.
  public static func environments(of state: State) throws -> FunctionReference {
    guard case .table(let globals) = try state.global("_G"),
      case .function(let make)? = try state.run(
        library: "script", PackageResources.script_lua, [.table(globals)], in: try state.companions.environment
      ).first
    else { throw LuaError("no globals could be made") }
    return make
  }

  private static func size(_ slot: Slot) throws -> Int {
    guard let size = slot.integer else { throw ArgumentError("broadcast_shapes: expected sizes, got \(Decoder.found(slot))") }
    return size
  }

  private static func setPrintOptions(_ slot: Slot) throws {
    guard slot.type == .table else { throw ArgumentError("set_printoptions: expected a table of options, got \(Decoder.found(slot))") }
    var options = PrintOptions.current
    let known = ["precision", "threshold", "edgeitems", "linewidth", "sci_mode", "profile"]
    try slot.forEachPair { key, value in
      let name = key.string ?? Decoder.found(key)
      func count() throws -> Int {
        guard let number = value.integer, number >= 0 else {
          throw ArgumentError("set_printoptions: option '\(name)': expected a count, got \(Decoder.found(value))")
        }
        return number
      }
      switch name {
      case "precision": options.precision = min(try count(), 64)
      case "threshold": options.threshold = value.number == .infinity ? .max : try count()
      case "edgeitems": options.edgeItems = try count()
      case "linewidth": options.lineWidth = try count()
      case "sci_mode": options.scientific = value.boolean
      case "profile" where value.string == "default": options = PrintOptions()
      case "profile" where value.string == "short": (options.precision, options.threshold, options.edgeItems) = (2, 1000, 2)
      case "profile" where value.string == "full": options.threshold = .max
      default:
        let hint = nearest(name, known).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError("set_printoptions: unknown option '\(name)'\(hint) (known: \(known.joined(separator: ", ")))")
      }
    }
    PrintOptions.current = options
  }
}
