// Hooks, written in Lua: on gradients of tensors, on nodes of the graph, on values that are saved.

import LuaRuntime
import Tensors

let hookKind = HandleKind<HookHandle>("Hook")

/// What `register_hook` returns: `handle:remove()` takes the hook away.
final class HookHandle {
  private var removal: (() -> Void)?
  init(_ removal: @escaping () -> Void) { self.removal = removal }

  func remove() {
    removal?()
    removal = nil
  }
}

enum Hooks {
  /// `x:register_hook(f)`: f sees the gradient and may return another one. After accumulation, f sees the leaf instead.
  static func register(_ call: inout Call, _ x: Tensor, afterAccumulation: Bool) throws {
    let name = afterAccumulation ? "register_post_accumulate_grad_hook" : "register_hook"
    let function = try ScriptFunction(hookOf: x, name, call, 2)
    let hook = Hook { gradient in
      let results = try function.call([.tensor(gradient)])
      guard !afterAccumulation, let result = results.first, !result.isNil else { return nil }
      guard let replaced = result.tensor else {
        throw ArgumentError("\(name): a hook must return a tensor or nothing, got \(Decoder.found(result))")
      }
      return replaced
    }
    let remove = try afterAccumulation ? x.addPostAccumulateHook(hook) : x.addHook(hook)
    call.returns(HookHandle(remove), hookKind)
  }

  /// `node:register_hook(f)`: f sees the gradients of the node's inputs and outputs as lists and may return other ones for
  /// the inputs. `node:register_prehook(f)`: f sees those of the outputs before the node computes, and may replace them.
  static func register(_ call: inout Call, _ node: Node, beforeFormula: Bool) throws {
    let name = beforeFormula ? "register_prehook" : "register_hook"
    let function = try ScriptFunction(name, call, 2)
    let hook = NodeHook { inputs, outputs in
      let lists = beforeFormula ? [outputs] : [inputs, outputs]
      guard let result = try function.call(lists.map(Value.gradients)).first, !result.isNil else { return nil }
      return try gradients(result, count: lists[0].count, name)
    }
    call.returns(HookHandle(try node.addHook(hook, beforeFormula: beforeFormula)), hookKind)
  }

  /// A list of gradients that a hook returned: a table, or the tensor itself where there is one gradient.
  private static func gradients(_ value: Value, count: Int, _ name: String) throws -> [Tensor?] {
    if count == 1, let tensor = value.tensor { return [tensor] }
    guard case .table(let table) = value else {
      throw ArgumentError("\(name): a hook must return a list of \(count) gradients or nothing, got \(Decoder.found(value))")
    }
    guard try table.get(.integer(count + 1)).isNil else {
      throw ArgumentError(
        "\(name): a hook returned \(try table.rawLength()) gradients where there \(count == 1 ? "is 1" : "are \(count)")")
    }
    return try (1...max(count, 1)).map { index in
      let element = try table.get(.integer(index))
      if element.isNil { return nil }
      guard let tensor = element.tensor else { throw ArgumentError("\(name): element \(index) of what a hook returned is not a tensor") }
      return tensor
    }
  }

  /// `local _ <close> = saved_tensors_hooks(pack, unpack)`: pack sees each tensor that is saved for backward and returns
  /// what to keep in its place; unpack gets that and returns the tensor.
  static func savedTensors() -> NativeFunction {
    native("saved_tensors_hooks") { call in
      let pack = try ScriptFunction("saved_tensors_hooks", call, 1, what: "a function that packs")
      let unpack = try ScriptFunction("saved_tensors_hooks", call, 2, what: "a function that unpacks")
      let hooks = SavedTensorHooks { tensor in
        let kept = try pack.call([.tensor(tensor)]).first ?? .nil
        return {
          guard let found = try unpack.call([kept]).first?.tensor else {
            throw ArgumentError("saved_tensors_hooks: the function that unpacks must return a tensor")
          }
          return found
        }
      }
      try call.returns(scope: "autograd.saved_tensors_hooks") { call in
        let before = call.word
        call.word = UInt64(hooks.inForce(UInt32(truncatingIfNeeded: before)))
        // The scope keeps the hooks alive, whose number alone is in the word.
        return { call in
          call.word = before
          withExtendedLifetime(hooks) {}
        }
      }
    }
  }

  static var members: HandleMembers {
    var members = HandleMembers()
    members.methods["remove"] = NativeFunction("remove") { call in
      guard let handle = call.object(1, hookKind) else { throw ArgumentError("remove: expected a hook, got \(Decoder.found(call[1]))") }
      handle.remove()
    }
    return members
  }
}
