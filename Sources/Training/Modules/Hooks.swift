// Hooks: functions that see, and may replace, what goes into a module and what comes out.

import Tensors

/// Sees a module's inputs before it computes; returns others, or nil to leave them.
public struct ForwardPreHook {
  /// Takes the module and its inputs.
  public typealias Body = (Module, [Tensor]) throws -> [Tensor]?
  /// Tells it from all other hooks that its module ever had, for removal.
  public let id: Int
  /// What it runs.
  public let body: Body
}

/// Sees a module's inputs and outputs after it computed; returns other outputs, or nil to leave them.
public struct ForwardHook {
  /// Takes the module, its inputs and its outputs.
  public typealias Body = (Module, [Tensor], [Tensor]) throws -> [Tensor]?
  /// Tells it from all other hooks that its module ever had, for removal.
  public let id: Int
  /// What it runs.
  public let body: Body
}

extension Module {
  /// Adds a hook to run before `forward`, after those already there; returns the id that removes it.
  @discardableResult
  public final func addForwardPreHook(_ body: @escaping ForwardPreHook.Body) -> Int {
    lastHook += 1
    forwardPreHooks.append(ForwardPreHook(id: lastHook, body: body))
    return lastHook
  }

  /// Adds a hook to run after `forward`, after those already there; returns the id that removes it.
  @discardableResult
  public final func addForwardHook(_ body: @escaping ForwardHook.Body) -> Int {
    lastHook += 1
    forwardHooks.append(ForwardHook(id: lastHook, body: body))
    return lastHook
  }

  /// Removes a hook; nothing happens when it is gone already.
  public final func removeForwardPreHook(_ id: Int) { forwardPreHooks.removeAll { $0.id == id } }

  /// Removes a hook; nothing happens when it is gone already.
  public final func removeForwardHook(_ id: Int) { forwardHooks.removeAll { $0.id == id } }
}
