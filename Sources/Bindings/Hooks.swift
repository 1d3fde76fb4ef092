// Hooks on gradients, written in Lua.

import CKernels
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
    guard case .function(let function) = try call.value(2) else {
      throw ArgumentError("\(name): expected a function, got \(Decoder.found(call[2]))")
    }
    // A tensor may outlive the state whose script hooked it.
    weak let weakState = call.state
    let hook = Hook { gradient in
      guard let state = weakState else { throw LuaError("\(name): the session of the hook is closed") }
      // The hook runs in the mode of the backward run: recording only when a graph of gradients is made.
      let (word, bits) = (state.word, GradMode.bits)
      defer {
        state.word = word
        GradMode.bits = bits
      }
      state.word = UInt64(bits)
      let results = try function.call(.object(gradient, tensorKind))
      if afterAccumulation { return nil }
      switch results.first {
      case nil, .nil: return nil
      case .handle(let handle):
        if let replaced = handle.object(tensorKind) { return replaced }
      default: break
      }
      throw ArgumentError("\(name): a hook must return a tensor or nothing")
    }
    let remove = try afterAccumulation ? x.addPostAccumulateHook(hook) : x.addHook(hook)
    call.returns(HookHandle(remove), hookKind)
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
