// The graph in scripts: backward, grad, grad_fn nodes, hooks and modes.

import LuaRuntime
import Tensors

enum Autograd {
  // MARK: Backward

  /// `y:backward(gradient, { retain_graph, create_graph, inputs })`.
  static func backward(_ call: inout Call, _ root: Tensor) throws {
    if call.count == 1 { return try reporting(call) { try root.backward() } }
    var gradient: Tensor?
    var position = 2
    if let given = call.object(2, tensorKind) {
      gradient = given
      position = 3
    } else if call.isNil(2) {
      position = 3
    }
    let options = try Options(call, from: position, "backward", allowing: ["gradient", "inputs"])
    if let named = options.tensors["gradient"] { gradient = named.first }
    try reporting(call) {
      guard let inputs = options.tensors["inputs"] else { return try root.backward(gradient, options: options.backward) }
      try Tape.backward([root], [gradient], inputs: inputs, options: options.backward)
    }
  }

  /// Runs backward. The error of a hook goes on as it is, since scripts may know it again; what had been accumulated
  /// before it becomes a warning.
  private static func reporting(_ call: borrowing Call, _ run: () throws -> Void) throws {
    do {
      try run()
    } catch let error as PartialBackward {
      call.state.warn("backward failed half-way; " + error.note)
      throw error.cause
    }
  }

  /// retain_graph and create_graph, by position or by name, and lists of tensors by name.
  private struct Options {
    var retain: Bool?
    var create = false
    var flags: [String: Bool] = [:]
    var tensors: [String: [Tensor]] = [:]
    var gradients: [Tensor?]?

    var backward: BackwardOptions { BackwardOptions(retainGraph: retain, createGraph: create) }

    init(_ call: borrowing Call, from first: Int, _ name: String, allowing extra: [String], outputs: Int = 1) throws {
      var order = ["retain_graph", "create_graph"][...]
      var position = first
      while position <= call.count {
        let slot = call[position]
        if slot.type == .table {
          let known = ["retain_graph", "create_graph"] + extra
          var problem: ArgumentError?
          var found: [(String, Any)] = []
          try slot.forEachPair { key, value in
            guard let option = key.string, known.contains(option) else {
              let shown = key.string ?? Decoder.found(key)
              let hint = nearest(shown, known).map { "; did you mean '\($0)'?" } ?? ""
              problem = ArgumentError("\(name): unknown option '\(shown)'\(hint) (known: \(known.joined(separator: ", ")))")
              return
            }
            if let flag = value.boolean {
              found.append((option, flag))
            } else if let tensor = value.anyTensor {
              found.append((option, [tensor]))
            } else if option == "grad_outputs" || option == "grad_tensors", value.type == .table {
              gradients = try Autograd.gradients(value, count: outputs, "\(name): option '\(option)'")
            } else if value.type == .table {
              found.append((option, try Autograd.tensors(value, "\(name): option '\(option)'")))
            } else {
              problem = ArgumentError("\(name): option '\(option)': got \(Decoder.found(value))")
            }
          }
          if let problem { throw problem }
          for (option, value) in found { try set(option, value, name) }
        } else if let flag = slot.boolean, let option = order.popFirst() {
          try set(option, flag, name)
        } else if slot.isNil {
          _ = order.popFirst()
        } else {
          throw ArgumentError(
            "\(name): argument \(position - 1): got \(Decoder.found(slot)); expected a gradient tensor, then options { retain_graph = true, … }"
          )
        }
        position += 1
      }
    }

    private mutating func set(_ option: String, _ value: Any, _ name: String) throws {
      switch (option, value) {
      case ("retain_graph", let flag as Bool): retain = flag
      case ("create_graph", let flag as Bool): create = flag
      case ("allow_unused", let flag as Bool), ("materialize_grads", let flag as Bool): flags[option] = flag
      // An old option that many scripts still set to true, which it has been ever since.
      case ("only_inputs", let flag as Bool):
        guard flag else {
          throw ArgumentError("\(name): only_inputs can only be true: the gradients of other leaves are what backward gives")
        }
      case ("grad_outputs", let list as [Tensor]), ("grad_tensors", let list as [Tensor]): gradients = list
      case ("gradient", let list as [Tensor]), ("inputs", let list as [Tensor]): tensors[option] = list
      default:
        let expected = value is Bool ? "a tensor or a list of tensors, got \(value)" : "true or false, got tensors"
        throw ArgumentError("\(name): option '\(option)': expected \(expected)")
      }
    }
  }

  /// A tensor or a list of tensors.
  static func tensors(_ slot: Slot, _ place: String) throws -> [Tensor] {
    if let tensor = slot.anyTensor { return [tensor] }
    guard slot.type == .table else { throw ArgumentError("\(place): expected a tensor or a list of tensors, got \(Decoder.found(slot))") }
    var list: [Tensor] = []
    try slot.forEachElement { index, element in
      guard let tensor = element.anyTensor else {
        throw ArgumentError("\(place): element \(index) is not a tensor but \(Decoder.found(element))")
      }
      list.append(tensor)
    }
    return list
  }

  /// Gradients of `count` tensors: one for a single tensor, or a list in which nil stands for an implied one.
  private static func gradients(_ slot: Slot, count: Int, _ place: String) throws -> [Tensor?] {
    if slot.type != .table { return try tensors(slot, place) }
    var list: [Tensor?] = []
    var highest = 0
    try slot.forEachPair { key, _ in
      // The lists that hooks get say their length.
      if key.string == "n" { return }
      guard let position = key.integer, position > 0 else { throw ArgumentError("\(place): expected a list of gradients") }
      highest = max(highest, position)
    }
    for position in stride(from: 1, through: max(min(highest, count + 1), count), by: 1) {
      try slot.withElement(position) { element in
        guard !element.isNil else { return list.append(nil) }
        guard let tensor = element.anyTensor else {
          throw ArgumentError("\(place): element \(position) is not a tensor but \(Decoder.found(element))")
        }
        list.append(tensor)
      }
    }
    return list
  }

  /// Whether an argument is a list of gradients rather than options: options have names.
  private static func isList(_ slot: Slot) -> Bool {
    guard slot.type == .table else { return false }
    var isList = false
    try? slot.forEachPair { key, _ in isList = isList || key.type == .number }
    return isList
  }

  static var functions: [String: NativeFunction] {
    [
      "backward": native("backward") { call in
        let roots = try tensors(call[1], "backward: argument 1 (tensors)")
        guard roots.allSatisfy({ $0.batch.isEmpty }) else {
          throw ArgumentError("backward: not for tensors of a batch; inside of vmap use mg.func.grad, vjp and jvp, and return results")
        }
        var gradients = [Tensor?](repeating: nil, count: roots.count)
        var position = 2
        if call.object(2, tensorKind) != nil || isList(call[2]) {
          gradients = try Autograd.gradients(call[2], count: roots.count, "backward: argument 2 (grad_tensors)")
          position = 3
        } else if call.isNil(2) {
          position = 3
        }
        let options = try Options(call, from: position, "backward", allowing: ["inputs", "grad_tensors"], outputs: roots.count)
        if let given = options.gradients { gradients = given }
        try reporting(call) {
          try Tape.backward(roots, gradients, inputs: options.tensors["inputs"], options: options.backward)
        }
      },
      "saved_tensors_hooks": Hooks.savedTensors(),
      "set_detect_anomaly": enter("autograd.set_detect_anomaly") { call, bits in
        guard let flag = call.boolean(1) else {
          throw ArgumentError("set_detect_anomaly: expected true or false, got \(Decoder.found(call[1]))")
        }
        return flag ? bits | GradMode.anomaly : bits & ~GradMode.anomaly
      },
      "detect_anomaly": enter("autograd.detect_anomaly") { _, bits in bits | GradMode.anomaly },
      "is_anomaly_enabled": native("is_anomaly_enabled") { call in call.returns(GradMode.bits & GradMode.anomaly != 0) },
      "grad": native("grad") { call in
        let outputs = try tensors(call[1], "grad: argument 1 (outputs)")
        let inputs = try tensors(call[2], "grad: argument 2 (inputs)")
        var gradients = [Tensor?](repeating: nil, count: outputs.count)
        var position = 3
        if call.anyTensor(3) != nil || isList(call[3]) {
          gradients = try Autograd.gradients(call[3], count: outputs.count, "grad: argument 3 (grad_outputs)")
          position = 4
        } else if call.isNil(3) {
          position = 4
        }
        let options = try Options(
          call, from: position, "grad", allowing: ["grad_outputs", "allow_unused", "materialize_grads", "only_inputs"],
          outputs: outputs.count)
        if let given = options.gradients { gradients = given }
        let materialize = options.flags["materialize_grads"] ?? false
        guard !materialize || options.flags["allow_unused"] != false else {
          throw ArgumentError("grad: materialize_grads = true gives zeros for unused inputs, which allow_unused = false forbids")
        }
        let results =
          try BatchLevels.areInForce
          ? Batches.gradients(of: outputs, gradients, inputs: inputs, options: options.backward)
          : Tape.gradients(of: outputs, gradients, inputs: inputs, options: options.backward)
        for (index, result) in results.enumerated() {
          if let result {
            call.returns(tensor: result)
          } else if materialize {
            call.returns(tensor: try Tensor.zeros(inputs[index].shape, dtype: inputs[index].dtype).inBatch(inputs[index].batch))
          } else if options.flags["allow_unused"] ?? false {
            call.returnsNil()
          } else {
            throw ArgumentError(
              "grad: input \(index + 1) of shape \(inputs[index].shape) was not used in computing the outputs; pass allow_unused = true to get nil for it"
            )
          }
        }
      },
    ]
  }

  // MARK: Modes

  /// Modes by name: each enters and returns a scope that restores on `<close>`.
  static var modes: [String: NativeFunction] {
    [
      "no_grad": enter("no_grad") { _, bits in bits | GradMode.noGrad },
      "enable_grad": enter("enable_grad") { _, bits in bits & ~GradMode.noGrad },
      "inference_mode": enter("inference_mode") { call, bits in
        call.boolean(1) == false ? bits & ~GradMode.inference : bits | GradMode.inference
      },
      "set_grad_enabled": enter("set_grad_enabled") { call, bits in
        guard let flag = call.boolean(1) else {
          throw ArgumentError("set_grad_enabled: expected true or false, got \(Decoder.found(call[1]))")
        }
        return flag ? bits & ~GradMode.noGrad : bits | GradMode.noGrad
      },
      "is_grad_enabled": native("is_grad_enabled") { call in call.returns(GradMode.isEnabled) },
      "is_inference_mode_enabled": native("is_inference_mode_enabled") { call in
        call.returns(GradMode.bits & GradMode.inference != 0)
      },
    ]
  }

  private static func enter(
    _ name: String, _ change: @escaping (borrowing Call, UInt32) throws -> UInt32
  ) -> NativeFunction {
    native(name) { call in
      let before = call.word
      let bits = try change(call, UInt32(truncatingIfNeeded: before))
      try call.returns(scope: name) { call in
        call.word = UInt64(bits)
        return { $0.word = before }
      }
    }
  }

  static var scopeMembers: HandleMembers {
    var members = HandleMembers()
    members.metamethods["__close"] = NativeFunction("close") { call in
      if let scope = call.object(1, scopeKind) { scope.close(call) }
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      call.returns("scope of mg.\(call.object(1, scopeKind)?.name ?? "?")")
    }
    return members
  }
}

/// Something that is in force until the end of a block.
final class Scope {
  let name: String
  private let end: (borrowing Call) -> Void
  private var isClosed = false

  init(_ name: String, _ end: @escaping (borrowing Call) -> Void) {
    self.name = name
    self.end = end
  }

  func close(_ call: borrowing Call) {
    guard !isClosed else { return }
    isClosed = true
    end(call)
  }

  deinit {
    // A guard that was dropped: only noted here, since a collection must not call Lua. Setters can be meant so.
    guard !isClosed, !name.contains("set_") else { return }
    Notice.post(
      "mg.\(name)() was called as a statement and its guard dropped; write  local _ <close> = mg.\(name)()  or  mg.\(name)(function() … end)"
    )
  }
}

extension Call {
  /// Brings something into force and returns its scope; `begin` gives what ends it. Where there is no memory for the scope nothing begins,
  /// since nothing could end it.
  mutating func returns(scope name: String, _ begin: (borrowing Call) -> (borrowing Call) -> Void) throws {
    try reserveHandle()
    returns(Scope(name, begin(self)), scopeKind)
  }
}

extension State {
  /// Gives the warnings that wait.
  func giveNotice() {
    for text in Notice.take() { warn(text) }
  }
}

// MARK: Nodes

enum NodeMembers {
  /// Attributes that count dimensions or positions, which scripts see from 1.
  private static let positions: Set = ["dim", "dim0", "dim1", "dim2", "dims", "index", "start"]

  static var members: HandleMembers {
    var members = HandleMembers()
    members.getters["name"] = NativeFunction("name") { call in call.returns(try call.node("name").name) }
    members.getters["next_functions"] = native("next_functions") { call in
      let list = try call.node("next_functions").nextFunctions()
      call.returnsList(list.count)
      for (node, index) in list {
        // {node, index} with index from 1, as {nil, 1} for constants: a record, since a list cannot start with nil.
        call.returnsRecord(node == nil ? 1 : 2)
        if let node {
          call.returns(1)
          call.returns(node, nodeKind)
        }
        call.returns(2)
        call.returns(index + 1)
      }
    }
    members.getters["variable"] = NativeFunction("variable") { call in
      let node = try call.node("variable")
      guard let variable = node.variable else {
        throw ArgumentError("\(node.name) has no variable; only AccumulateGrad nodes do")
      }
      call.returns(tensor: variable)
    }
    members.methods["register_hook"] = native("register_hook") { call in
      try Hooks.register(&call, try call.node("register_hook"), beforeFormula: false)
    }
    members.methods["register_prehook"] = native("register_prehook") { call in
      try Hooks.register(&call, try call.node("register_prehook"), beforeFormula: true)
    }
    members.getters["site"] = NativeFunction("site") { call in
      if let place = Site.text(try call.node("site").site) { call.returns(place) } else { call.returnsNil() }
    }
    members.reading = native("grad_fn") { call in
      let node = try call.node("grad_fn")
      guard let name = call.string(2) else { throw ArgumentError("\(node.name) cannot be indexed by \(Decoder.found(call[2]))") }
      guard name.hasPrefix("saved_") else {
        let known = [
          "name", "next_functions", "variable", "site", "saved_self", "saved_other", "saved_result", "register_hook", "register_prehook",
        ]
        let hint = nearest(name, known).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError("\(node.name) has no field '\(name)'\(hint)")
      }
      let option = String(name.dropFirst(6))
      switch try node.saved(named: option) {
      case .tensor(let tensor): call.returns(tensor: tensor)
      case .attribute(let value): try call.returns(attribute: value, isPosition: positions.contains(option))
      case .nothing: call.returnsNil()
      }
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in call.returns("<\(try call.node("tostring").name)>") }
    return members
  }
}

extension Call {
  /// Returns an attribute of an operation.
  fileprivate mutating func returns(attribute: Any, isPosition: Bool) throws {
    let base = isPosition ? 1 : 0
    switch attribute {
    case let value as Int: returns(value + base)
    case let value as Double: returns(value)
    case let value as Bool: returns(value)
    case let value as String: returns(value)
    case let value as Scalar: returns(scalar: value)
    case let value as DType: returns(value.description)
    case let value as Axes: try returns(sizes: value.map { $0 + base })
    case let value as [Int]: try returns(sizes: value.map { $0 + base })
    case let value as Shape: try returns(sizes: value.array)
    default: returnsNil()
    }
  }

  fileprivate func node(_ name: String) throws -> Node {
    guard let node = object(1, nodeKind) else { throw ArgumentError("\(name): expected a grad_fn node, got \(Decoder.found(self[1]))") }
    return node
  }
}
