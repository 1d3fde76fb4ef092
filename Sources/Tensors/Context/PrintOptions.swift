// How tensors are printed.

/// How tensors print: PyTorch's `set_printoptions`, with its defaults.
package struct PrintOptions: Equatable, Sendable {
  /// Digits after the decimal point of a floating element, at least 0.
  package var precision = 4
  /// The most elements that are shown in full; a tensor with more is summarised. `Int.max` never summarises.
  package var threshold = 1000
  /// How many elements a summary shows at either end of a dimension, at least 0, which shows only `...` and the size.
  package var edgeItems = 3
  /// The column at which lines wrap.
  package var lineWidth = 80
  /// Whether to use scientific notation (PyTorch's `sci_mode`); nil lets each tensor's values decide.
  package var scientific: Bool?

  package init() {}
}

extension PrintOptions {
  /// Those of the context in force (`mg.set_printoptions`).
  package static var current: PrintOptions {
    get { Context.current.pointee.printing }
    set { Context.current.pointee.printing = newValue }
  }
}
