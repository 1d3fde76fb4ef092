// What the methods of modules in Lua/modules.lua are made of: walks over the tree of modules, Swift's and scripts' alike, by name.

import LuaRuntime
import Tensors
import Training

/// A session's modules, once its library is loaded.
final class ModuleLibrary {
  var instances: Instances?
  /// repack(packed, data): a packed sequence of the same lengths.
  var repack: FunctionReference?

  /// The module that a call's first argument is.
  func receiver(_ call: borrowing Call, _ name: String) throws -> Module {
    if let module = call.object(1, moduleKind) { return module }
    if let module = try instances?.module(call[1]) { return module }
    throw ArgumentError(
      "\(name): expected a module as self, got \(Decoder.found(call[1])); methods are called with ':', as in net:\(name)()")
  }

  /// Those functions by name; each is given the module, whose method has that name.
  static var primitives: [String: NativeFunction] {
    func walk(_ name: String, _ body: @escaping (inout Call, Module) throws -> Void) -> (String, NativeFunction) {
      (
        name,
        native(name) { call in
          let module = try call.library.receiver(call, name)
          try body(&call, module)
          guard !module.nestsTooDeep else { throw ArgumentError("\(name): modules are nested more than \(Module.deepest) deep") }
        }
      )
    }
    return Dictionary(
      uniqueKeysWithValues: [
        // named_parameters(module, prefix, recurse, remove_duplicate): a list of {name, tensor}; named_buffers in the same way.
        walk("named_parameters") { call, module in
          returnPairs(
            try ModuleLibrary.tensors(call, "named_parameters") { module.namedParameters(prefix: $0, recurse: $1, removesDuplicates: $2) },
            &call)
        },
        walk("named_buffers") { call, module in
          returnPairs(
            try ModuleLibrary.tensors(call, "named_buffers") { module.namedBuffers(prefix: $0, recurse: $1, removesDuplicates: $2) }, &call)
        },
        // named_modules(module, prefix, remove_duplicate), named_children(module): lists of {name, module}.
        walk("named_modules") { call, module in
          let prefix = try ModuleLibrary.text(call, 2, "named_modules: prefix") ?? ""
          let unique = try ModuleLibrary.flag(call, 3, "named_modules: remove_duplicate") ?? true
          returnPairs(module.namedModules(prefix: prefix, removesDuplicates: unique), &call)
        },
        walk("named_children") { call, module in
          var seen = Set<ModuleIdentity>()
          returnPairs(module.ownChildren.filter { seen.insert($0.module.identity).inserted }, &call)
        },
        // parametrizations(originals, step): what computes a parameter, for modules that keep it themselves.
        (
          "parametrizations",
          native("parametrizations") { call in
            guard let step = try call.library.instances?.module(call[2]) else {
              throw ArgumentError("parametrize: expected a module, got \(Decoder.found(call[2]))")
            }
            call.returns(module: try ParametrizationList(ModuleLibrary.list(call[1]), by: [step]))
          }
        ),
        // append_parametrization(list, step)
        walk("append_parametrization") { call, module in
          guard let list = module as? ParametrizationList, let step = try call.library.instances?.module(call[2]) else {
            throw ArgumentError("parametrize: expected a module, got \(Decoder.found(call[2]))")
          }
          list.append(step)
        },
        walk("get_submodule") { call, module in call.returns(module: try module.submodule(try ModuleLibrary.path(call, "get_submodule"))) },
        walk("get_parameter") { call, module in call.returns(tensor: try module.parameter(try ModuleLibrary.path(call, "get_parameter"))) },
        walk("get_buffer") { call, module in call.returns(tensor: try module.buffer(try ModuleLibrary.path(call, "get_buffer"))) },
        walk("train") { call, module in module.train(try ModuleLibrary.flag(call, 2, "train") ?? true) },
        walk("zero_grad") { call, module in try module.zeroGrad(setToNone: ModuleLibrary.flag(call, 2, "zero_grad") ?? true) },
        walk("requires_grad_") { call, module in try module.requiresGrad(ModuleLibrary.flag(call, 2, "requires_grad_") ?? true) },
        walk("to") { call, module in
          if let dtype = try Devices.dtype(call) { try module.to(dtype) }
        },
        // state_dict(module, prefix, keep_vars): a list of {name, tensor}.
        walk("state_dict") { call, module in
          let prefix = try ModuleLibrary.text(call, 2, "state_dict: prefix") ?? ""
          let keeps = try ModuleLibrary.flag(call, 3, "state_dict: keep_vars") ?? false
          let path = prefix.hasSuffix(".") ? String(prefix.dropLast()) : prefix
          returnPairs(module.stateDict(prefix: path, keepsVariables: keeps), &call)
        },
        // load_state_dict(module, state, strict, assign): the names that are missing, and those that are unexpected.
        walk("load_state_dict") { call, module in try ModuleLibrary.load(&call, module) },
        // parametrize(module, name, originals, step): the parameter is computed by the step from now on, of the originals, or, where it
        // is computed already, by the step too.
        walk("parametrize") { call, module in
          guard let name = call.string(2), let step = try call.library.instances?.module(call[4]) else {
            throw ArgumentError("parametrize: expected a name and a module, got \(Decoder.found(call[2])) and \(Decoder.found(call[4]))")
          }
          if let list = module.parametrization(of: name) { return list.append(step) }
          try module.parametrize(name, by: try ParametrizationList(ModuleLibrary.list(call[3]), by: [step]))
        },
        walk("remove_parametrization") { call, module in
          try module.removeParametrization(
            of: call.string(2) ?? "", leavesComputed: ModuleLibrary.flag(call, 3, "remove_parametrizations") ?? true)
        },
        // parametrization(module, name): what computes it, or nil.
        walk("parametrization") { call, module in
          if let list = module.parametrization(of: call.string(2) ?? "") { call.returns(module: list) } else { call.returnsNil() }
        },
        // text(module): its printed form.
        walk("text") { call, module in call.returns(module.description(indexBase: 1)) },
        // replace(module, name, tensor): puts any tensor, one with a history or of a batch too, into the place of a parameter or
        // buffer of the module's own, and returns the one that was. Its shape is not checked.
        walk("replace") { call, module in
          guard let name = call.string(2), let tensor = call.anyTensor(3) else {
            throw ArgumentError("replace: expected a name and a tensor, got \(Decoder.found(call[2])) and \(Decoder.found(call[3]))")
          }
          if let entry = module.ownParameters.first(where: { $0.name == name }) {
            try module.set(parameter: name, tensor)
            call.returns(tensor: entry.tensor)
          } else {
            let entry = module.buffers.first { $0.name == name }
            try module.set(buffer: name, tensor)
            call.returns(tensor: entry?.tensor)
          }
        },
      ])
  }

  // MARK: Arguments

  private static func list(_ slot: Slot) throws -> [Tensor] {
    var tensors: [Tensor] = []
    try slot.forEachElement { position, element in
      guard let tensor = element.object(tensorKind) else {
        throw ArgumentError("parametrize: expected tensors, got \(Decoder.found(element)) as number \(position)")
      }
      tensors.append(tensor)
    }
    return tensors
  }

  private static func flag(_ call: borrowing Call, _ position: Int, _ name: String) throws -> Bool? {
    if call.isNil(position) { return nil }
    if let flag = call.boolean(position) { return flag }
    throw ArgumentError("\(name): expected true or false, got \(Decoder.found(call[position]))")
  }

  private static func text(_ call: borrowing Call, _ position: Int, _ name: String) throws -> String? {
    if call.isNil(position) { return nil }
    if let text = call.string(position) { return text }
    throw ArgumentError("\(name): expected a string, got \(Decoder.found(call[position]))")
  }

  private static func path(_ call: borrowing Call, _ name: String) throws -> String {
    guard call.type(2) == .string, let path = call.string(2) else {
      throw ArgumentError("\(name): argument 1: expected a dotted name, as in \"hidden.weight\", got \(Decoder.found(call[2]))")
    }
    return path
  }

  private static func tensors(
    _ call: borrowing Call, _ name: String, _ list: (String, Bool, Bool) -> [(name: String, tensor: Tensor)]
  ) throws -> [(name: String, tensor: Tensor)] {
    list(
      try text(call, 2, "\(name): prefix") ?? "", try flag(call, 3, "\(name): recurse") ?? true,
      try flag(call, 4, "\(name): remove_duplicate") ?? true)
  }

  private static func load(_ call: inout Call, _ module: Module) throws {
    guard call.type(2) == .table else { throw ArgumentError("load_state_dict: expected a table of tensors, got \(Decoder.found(call[2]))") }
    var state: [(name: String, tensor: Tensor)] = []
    var others: [(name: String, found: String)] = []
    try call[2].forEachPair(runsScripts: false) { key, value in
      let name = key.string ?? Decoder.found(key)
      if let tensor = value.object(tensorKind) {
        state.append((name, tensor))
      } else {
        others.append((name, Decoder.found(value)))
      }
    }
    state.sort { $0.name < $1.name }
    others.sort { $0.name < $1.name }
    let strict = try flag(call, 3, "load_state_dict: strict") ?? true
    let assigns = try flag(call, 4, "load_state_dict: assign") ?? false
    let (missing, unexpected) = try module.loadStateDict(state, others: others, strict: strict, assigns: assigns)
    for names in [missing, unexpected] {
      call.returnsList(names.count)
      for name in names { call.returns(name) }
    }
  }
}

private func returnPairs<Content>(_ pairs: [(name: String, Content)], _ call: inout Call, _ content: (inout Call, Content) -> Void) {
  call.returnsList(pairs.count)
  for (name, value) in pairs {
    call.returnsList(2)
    call.returns(name)
    content(&call, value)
  }
}

private func returnPairs(_ pairs: [(name: String, tensor: Tensor)], _ call: inout Call) {
  returnPairs(pairs.map { ($0.name, $0.tensor) }, &call) { $0.returns(tensor: $1) }
}

private func returnPairs(_ pairs: [(name: String, module: Module)], _ call: inout Call) {
  returnPairs(pairs.map { ($0.name, $0.module) }, &call) { $0.returns(module: $1) }
}
