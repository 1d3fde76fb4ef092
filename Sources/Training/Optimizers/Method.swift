// What a method of optimization computes with: options that are decoded once, and the move they make of a parameter.

import Tensors

/// The decoded options of one group, and how they move a parameter.
///
/// It holds nothing that changes: what is remembered of a parameter is in its slot.
protocol Method {
  /// Throws for impossible options.
  init(_ options: Options) throws

  /// Moves one parameter of `group`, as the `slot.steps`th update of it. The moments come from the group.
  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws
}

/// A method that needs more of a parameter than its elements one by one: its shape, or products of matrices.
///
/// It is called without recording, and counts the update itself when nothing can fail any more, so that one that fails was
/// none.
protocol TensorMethod: Method {
  func update(_ parameter: Tensor, _ gradient: Tensor, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws
}

extension TensorMethod {
  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {}
}

/// A method that moves all parameters together, and computes the loss several times for it.
protocol WholeMethod: Method {
  /// One step; `loss` computes the loss and the gradients. What is remembered goes to the optimizer's `memory`.
  static func step(_ optimizer: Optimizer, _ loss: () throws -> Double) throws

  /// What a state remembers of the first parameter.
  static func restored(_ values: [(name: String, value: Optimizer.StateValue)], _ optimizer: Optimizer) throws -> any OptimizerMemory
}

extension WholeMethod {
  func update(_ target: UpdateTarget, _ slot: inout Optimizer.Slot, of group: Optimizer.Group) throws {}
}

/// What a whole method remembers.
protocol OptimizerMemory {
  /// By PyTorch's names.
  var values: [(name: String, value: Optimizer.StateValue)] { get }
}
