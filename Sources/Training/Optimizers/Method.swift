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
