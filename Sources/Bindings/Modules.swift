// Modules that Swift implements, as handles: `nn.Linear(1, 10)`, called like a function. What walks trees of modules
// (parameters, train, state_dict, printing) is written in Lua for both kinds of module, see Lua/modules.lua.

import LuaRuntime
import Tensors
import Training

enum Modules {
  /// `nn.X` for the classes of the catalogue that take no modules, for all states.
  static var constructors: [(key: Value, value: Value)] { constructors(ModuleCatalogue.kinds.filter { !takesModules($0) }, nil) }

  /// `nn.X` for those that do, in one state.
  static func constructors(_ library: ModuleLibrary) -> [(key: Value, value: Value)] { constructors(ofModules, library) }

  private static let ofModules = ModuleCatalogue.kinds.filter(takesModules)

  private static func takesModules(_ kind: ModuleKind) -> Bool { kind.parameters.contains { $0.kind == .module } }

  private static func constructors(_ kinds: [ModuleKind], _ library: ModuleLibrary?) -> [(key: Value, value: Value)] {
    kinds.map { kind in
      let decoder = Decoder(kind.name, kind.parameters, isMethod: false, takesDevice: true, modules: library)
      return (
        .string(kind.name), .native(native(kind.name) { call in call.returns(try kind.make(try decoder.decode(call)), moduleKind) })
      )
    }
  }

  /// What a handle shows; `scripted` are the methods written in Lua, and `runHooked` calls a module that has hooks.
  static func members(_ scripted: [String: FunctionReference], runHooked: FunctionReference, _ library: ModuleLibrary) -> HandleMembers {
    var members = HandleMembers()
    members.scripted = scripted
    members.metamethods["__call"] = native("call") { call in
      // Retained, since hooks run scripts meanwhile.
      guard let module = call.object(1, moduleKind) else {
        throw ArgumentError("call: expected a module, got \(Decoder.found(call[1]))")
      }
      guard let hooks = module.attachment as? ScriptHooks else { return try run(module, &call, library) }
      let arguments = try stride(from: 2, through: call.count, by: 1).map { try call.value($0) }
      for result in try runHooked.call([try call.value(1), .table(hooks.table)] + arguments) { call.returns(result) }
    }
    members.methods["forward"] = native("forward") { call in try run(try call.module("forward"), &call, library) }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      call.returns(try call.module("tostring").description(indexBase: 1))
    }
    members.metamethods["__len"] = native("length") { call in
      let module = try call.module("length")
      guard module is ModuleList || module is Sequential else { throw ArgumentError("\(module.kind) is no list and has no length") }
      call.returns(module.children.count)
    }
    members.getters["training"] = NativeFunction("training") { call in call.returns(try call.module("training").isTraining) }
    members.setters["training"] = NativeFunction("training") { call in
      guard let flag = call.boolean(3) else { throw ArgumentError("training: expected true or false, got \(Decoder.found(call[3]))") }
      try call.module("training").isTraining = flag
    }
    members.reading = native("field") { call in try read(&call, Array(scripted.keys)) }
    members.writing = native("field") { call in try write(&call, library) }
    return members
  }

  /// Calls a module, the first argument, with the others. An error says where in the model it is that was called: the outermost of
  /// the modules that are being called, whether the script's or Swift's, that has it within.
  private static func run(_ module: Module, _ call: inout Call, _ library: ModuleLibrary) throws {
    do { try compute(module, &call, library) } catch let error as TensorError {
      guard var failure = module.placed(error) as? TensorError, let place = failure.place else { throw error }
      // From the innermost, so that the last that has it is the outermost.
      try call.forEachCallee { slot in
        if let caller = try library.instances?.module(slot), let path = caller.path(of: place.module) { failure.place?.path = path }
      }
      throw failure
    }
  }

  private static func compute(_ module: Module, _ call: inout Call, _ library: ModuleLibrary) throws {
    if BatchLevels.areInForce { return try runBatched(module, &call) }
    if module.takesOptions {
      let arguments = try arguments(module, call)
      let outputs = try module(arguments)
      // What was packed comes back packed.
      if arguments.object(0) is PackedSequence, let repack = library.repack {
        call.returns(try repack.call([try call.value(2), .object(outputs[0], tensorKind)]).first ?? .nil)
        for output in outputs.dropFirst() { call.returns(tensor: output) }
        return
      }
      for output in outputs { call.returns(tensor: output) }
      return
    }
    if call.count == 2, !module.hasSeveralOutputs, let x = call.unmanaged(2, tensorKind) {
      if module.positionInput == 0 { return call.returns(tensor: try module(positions(x.takeUnretainedValue(), module))) }
      return call.returns(tensor: try x._withUnsafeGuaranteedRef { try module($0) })
    }
    if call.count == 3, !module.hasSeveralOutputs, let a = call.unmanaged(2, tensorKind),
      let b = call.unmanaged(3, tensorKind)
    {
      if module.positionInput == 1 {
        let labels = try positions(b.takeUnretainedValue(), module)
        return call.returns(tensor: try a._withUnsafeGuaranteedRef { try module($0, labels) })
      }
      return call.returns(tensor: try a._withUnsafeGuaranteedRef { a in try b._withUnsafeGuaranteedRef { try module(a, $0) } })
    }
    var inputs: [Tensor] = []
    for position in stride(from: 2, through: lastInput(of: module, call), by: 1) {
      guard let tensor = call.object(position, tensorKind) else {
        throw ArgumentError("\(module.kind): argument \(position - 1): expected a tensor, got \(Decoder.found(call[position]))")
      }
      inputs.append(position - 2 == module.positionInput ? try positions(tensor, module) : tensor)
    }
    try call.returns(module.output(inputs))
  }

  /// The position of the last argument that is an input: nil at the end stands for inputs that may be left out.
  private static func lastInput(of module: Module, _ call: borrowing Call) -> Int {
    var last = call.count
    while last > 2, last - 2 < module.inputs.count, module.inputs[last - 2].isOptional, call.isNil(last) { last -= 1 }
    return last
  }

  /// The arguments of a module that takes more than tensors.
  private static func arguments(_ module: Module, _ call: borrowing Call) throws -> Arguments {
    let reader: CallReader
    if let made = module.reader as? CallReader {
      reader = made
    } else {
      reader = CallReader(module)
      module.reader = reader
    }
    return try (BatchLevels.areInForce ? reader.inBatches : reader.plain).decode(call)
  }

  /// The same of tensors of a batch, or with parameters of one.
  private static func runBatched(_ module: Module, _ call: inout Call) throws {
    let state = call.state
    if module.takesOptions {
      let arguments = try arguments(module, call)
      for output in try module(batch: arguments, warn: { Batches.warn($0, state) }) { call.returns(tensor: output) }
      return
    }
    var inputs: [Tensor] = []
    for position in stride(from: 2, through: lastInput(of: module, call), by: 1) {
      guard let tensor = call.anyTensor(position) else {
        throw ArgumentError("\(module.kind): argument \(position - 1): expected a tensor, got \(Decoder.found(call[position]))")
      }
      inputs.append(position - 2 == module.positionInput ? try positions(tensor, module) : tensor)
    }
    for output in try module(batch: inputs, warn: { Batches.warn($0, state) }) { call.returns(tensor: output) }
  }

  /// The module's input that holds labels or entries, which count from 1 in scripts; the "never" label −100 and
  /// probabilities stay.
  private static func positions(_ tensor: Tensor, _ module: Module) throws -> Tensor {
    if tensor.dtype.isFloating || tensor.dtype == .bool { return tensor }
    let areLabels = module.inputs[module.positionInput].kind == .labels
    return try zeroBasedPositions(tensor, areLabels ? "class labels" : "entries", module.kind)
  }

  /// The position from 0 that a number means in a list of so many; nil for one more, which ends loops.
  private static func position(_ call: borrowing Call, _ module: Module, _ count: Int) throws -> Int? {
    guard module is ModuleList || module is Sequential, let number = call.integer(2) else {
      throw ArgumentError("\(module.kind) cannot be indexed by \(Decoder.found(call[2]))")
    }
    guard number != 0 else { throw ArgumentError("\(module.kind): index 0 is out of range: indices start at 1 (and -1 is the last)") }
    if number == count + 1 { return nil }
    guard number.magnitude <= count else {
      throw ArgumentError("\(module.kind): index \(number) is out of range: there \(count == 1 ? "is 1 element" : "are \(count) elements")")
    }
    return number > 0 ? number - 1 : number + count
  }

  private static func read(_ call: inout Call, _ methods: [String]) throws {
    let module = try call.module("field")
    if call.type(2) == .number {
      let children = module.children
      if let position = try position(call, module, children.count) {
        call.returns(module: children[position].module)
      } else {
        call.returnsNil()
      }
      return
    }
    guard let name = call.string(2) else { throw ArgumentError("\(module.kind) cannot be indexed by \(Decoder.found(call[2]))") }
    if let list = module.parametrization(of: name) { return call.returns(tensor: try list.computed()) }
    if let weight = try module.mergedWeight(name) { return call.returns(tensor: weight.detach()) }
    for entry in module.parameters + module.buffers where entry.name == name { return call.returns(tensor: entry.tensor) }
    if let child = module.ownChildren.first(where: { $0.name == name }) { return call.returns(module: child.module) }
    if name == "_name" { return call.returns(module.kind) }
    let fields = ModuleCatalogue.kind(of: module)?.fields ?? []
    if let field = fields.first(where: { $0.name == name }) {
      switch try field.read(module) {
      case .number(let value): return call.returns(value)
      case .integer(let value): return call.returns(value)
      case .index(let value): return call.returns(value < 0 ? value : value + 1)
      case .boolean(let value): return call.returns(value)
      case .string(let value): return call.returns(value)
      case .tensor(let value): return call.returns(tensor: value)
      case .shape(let value): return try call.returns(sizes: value)
      case .module(let value): return call.returns(module: value)
      case .none: return call.returnsNil()
      }
    }
    let known =
      module.parameters.map(\.name) + module.buffers.map(\.name) + module.children.map(\.name) + fields.map(\.name) + methods
      + ["training", "_name"]
    let hint = nearest(name, known).map { "; did you mean '\($0)'?" } ?? ""
    throw ArgumentError("field '\(name)' of \(module.kind) does not exist\(hint)")
  }

  private static func write(_ call: inout Call, _ library: ModuleLibrary) throws {
    let module = try call.module("field")
    if call.type(2) == .number {
      let children = module.children
      guard let position = try position(call, module, children.count) else {
        throw ArgumentError("\(module.kind): index \(children.count + 1) is out of range: modules of a layer are replaced, none is added")
      }
      return try replace(children[position].name, of: module, call, library)
    }
    guard let name = call.string(2) else { throw ArgumentError("\(module.kind) cannot be indexed by \(Decoder.found(call[2]))") }
    guard module.parametrization(of: name) == nil else {
      throw ArgumentError(
        "\(module.kind): '\(name)' is computed by a parametrization; remove that first (nn.utils.parametrize.remove_parametrizations)")
    }
    if module.parameters.contains(where: { $0.name == name }) {
      if call.isNil(3) { return try module.set(parameter: name, nil) }
      guard let tensor = call.object(3, tensorKind), tensor.isParameter else {
        throw ArgumentError(
          "\(module.kind): the parameter '\(name)' can be set to a parameter (nn.Parameter(t)), got \(Decoder.found(call[3]))")
      }
      return try module.set(parameter: name, tensor)
    }
    if module.children.contains(where: { $0.name == name }) { return try replace(name, of: module, call, library) }
    guard let writer = ModuleCatalogue.kind(of: module)?.writers[name] else {
      throw ArgumentError("field '\(name)' of \(module.kind) cannot be assigned; classes of your own (nn.Module) take any field")
    }
    let value: ModuleField
    if let flag = call.boolean(3) {
      value = .boolean(flag)
    } else if call[3].isInteger, let number = call.integer(3) {
      value = .integer(number)
    } else if let number = call.number(3) {
      value = .number(number)
    } else if let text = call.string(3) {
      value = .string(text)
    } else if call.isNil(3) {
      value = .none
    } else {
      throw ArgumentError("\(module.kind): field '\(name)' cannot be \(Decoder.found(call[3]))")
    }
    try writer(module, value)
  }

  private static func replace(_ name: String, of module: Module, _ call: borrowing Call, _ library: ModuleLibrary) throws {
    guard let child = try library.instances?.module(call[3]) else {
      throw ArgumentError("\(module.kind): expected a module in the place of '\(name)', got \(Decoder.found(call[3]))")
    }
    try module.set(child: name, child)
  }

  /// What the chunks in Lua/ are built on.
  static var primitives: [String: NativeFunction] {
    [
      // raise(message): an error at the line of the script that called into the library, however deep in it the mistake was
      // noticed; a fixed level would have to be right on every path.
      // copy_module(module): one of the same class with copies of its tensors.
      "copy_module": native("copy_module") { call in call.returns(try call.module("deepcopy").copied(), moduleKind) },
      // calls_of(module): how often it is among the functions that are being called, of the innermost ones.
      "calls_of": NativeFunction("calls_of") { call in
        let address = call[1].address
        var count = 0
        call.forEachCallee(most: 1000) { if $0.address == address { count += 1 } }
        call.returns(count)
      },
      "raise": NativeFunction("raise") { call in throw ArgumentError(call.string(1) ?? "?") },
      "buffer": buffer,
      // watch_writes(tensor): from now on, written_at(tensor) is the script's line of the last write to its elements, or nil.
      "watch_writes": NativeFunction("watch_writes") { call in call.object(1, tensorKind)?.watchWrites() },
      "written_at": NativeFunction("written_at") { call in
        if let line = call.object(1, tensorKind)?.lineOfLastWrite { call.returns(line) } else { call.returnsNil() }
      },
      // kind_of(value): "Tensor", "Parameter", "Module" or nil.
      "kind_of": NativeFunction("kind_of") { call in
        if let tensor = call.unmanaged(1, tensorKind) {
          call.returns(tensor._withUnsafeGuaranteedRef { $0.isParameter } ? "Parameter" : "Tensor")
        } else if call.unmanaged(1, moduleKind) != nil {
          call.returns("Module")
        } else if call.unmanaged(1, batchedKind) != nil {
          call.returns("Tensor")
        } else {
          call.returnsNil()
        }
      },
      // identity(handle): a number that is equal for handles of one object.
      "identity": NativeFunction("identity") { call in
        if let tensor = call.object(1, tensorKind) ?? call.object(1, batchedKind) {
          call.returns(Int(bitPattern: ObjectIdentifier(tensor)))
        } else if let module = call.object(1, moduleKind) {
          call.returns(Int(bitPattern: ObjectIdentifier(module)))
        } else if let node = call.object(1, nodeKind) {
          call.returns(Int(bitPattern: ObjectIdentifier(node)))
        } else {
          call.returnsNil()
        }
      },
      // module_hooks(handle): its table of hooks or nil; module_hooks(handle, table or false) sets or removes it.
      "module_hooks": NativeFunction("module_hooks") { call in
        let module = try call.module("module_hooks")
        if case .table(let table) = try call.value(2) {
          module.attachment = ScriptHooks(table)
        } else if call.boolean(2) == false {
          module.attachment = nil
        } else if let hooks = module.attachment as? ScriptHooks {
          call.returns(.table(hooks.table))
        } else {
          call.returnsNil()
        }
      },
      // module_kind(handle): its class name.
      "module_kind": NativeFunction("module_kind") { call in call.returns(try call.module("module_kind").kind) },
      // nearest(name, names): the known name that was probably meant.
      "nearest": NativeFunction("nearest") { call in
        var names: [String] = []
        try call[2].forEachElement { _, element in
          guard let name = element.string else { throw ArgumentError("nearest: names are strings, got \(Decoder.found(element))") }
          names.append(name)
        }
        if let found = nearest(call.string(1) ?? "", names) { call.returns(found) } else { call.returnsNil() }
      },
    ]
  }

  /// `nn.Parameter(t, { requires_grad = true })`: a leaf of its own that shares t's elements.
  static var parameter: NativeFunction {
    let decoder = Decoder("Parameter", [.init("data", .tensor), .init("requires_grad", .boolean, default: "true")], isMethod: false)
    return native("Parameter") { call in
      let arguments = try decoder.decode(call)
      let parameter = try arguments.tensor(0).detach()
      try parameter.markParameter(requiresGrad: arguments.boolean(1, default: true))
      call.returns(tensor: parameter)
    }
  }

  /// `nn.Buffer(t, { persistent = true })`: a tensor of its own that shares t's elements, and the role that it has in a module.
  static var buffer: NativeFunction {
    let decoder = Decoder("Buffer", [.init("data", .tensor), .init("persistent", .boolean, default: "true")], isMethod: false)
    return native("Buffer") { call in
      let arguments = try decoder.decode(call)
      let data = try arguments.tensor(0)
      let buffer = data.detach()
      if data.requiresGrad { try buffer.setRequiresGrad(true) }
      call.returns(tensor: buffer)
      call.returns(try arguments.boolean(1, default: true) ? "buffer" : "passing")
    }
  }
}

/// How the calls of a module are read that takes more than tensors.
private final class CallReader {
  let plain, inBatches: Decoder

  init(_ module: Module) {
    // The module itself comes first.
    plain = Decoder(module.kind, module.inputs, isMethod: false, skips: 1)
    inBatches = Decoder(module.kind, module.inputs, isMethod: false, takesBatches: true, skips: 1)
  }
}

/// The hooks that scripts registered on a module of Swift's.
private final class ScriptHooks {
  let table: TableReference
  init(_ table: TableReference) { self.table = table }
}

extension Call {
  fileprivate func module(_ name: String) throws -> Module {
    guard let module = object(1, moduleKind) else {
      throw ArgumentError("\(name): expected a module as self, got \(Decoder.found(self[1])); methods are called with ':'")
    }
    return module
  }
}
