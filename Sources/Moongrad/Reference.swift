// The reference texts, for whoever asks outside a script.

import Bindings
import Tensors

/// What operations, modules and optimizers say about themselves.
public enum Reference {
  /// Everything that has a text.
  public static var names: [String] { Help.names }

  /// The text for `sum`, `mg.sum`, `x:sum`, `nn.Linear`, `Linear`, `optim.SGD`, `func.grad`; nil when nothing has that name.
  public static func text(for name: String) -> String? { Help.text(for: name) }

  /// The known name that was probably meant.
  public static func nearest(to name: String) -> String? {
    Tensors.nearest(name, names) ?? Tensors.nearest(bare(name), names.map(bare))
  }

  private static func bare(_ name: String) -> String {
    name.split { $0 == "." || $0 == ":" }.last.map(String.init) ?? name
  }
}
