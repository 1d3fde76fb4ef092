// A promise that parameters stay as they are, which every write to them breaks at once.

import Tensors

/// Guards parameters of a module: while it lives, whatever would write to one of them, an optimizer's step, `load_state_dict`, an
/// operation in place, raises before any bit moves, and names the parameter.
public final class ParameterGuard {
  /// The names of what is guarded.
  public let names: [String]
  private let guarded: WriteGuard

  /// Throws where a pattern matches nothing.
  public init(_ module: Module, _ selection: ParameterSelection = .all) throws {
    let chosen = try module.selected(selection, "guard")
    names = chosen.map(\.name)
    guarded = WriteGuard(chosen.map { ($0.name, $0.tensor) })
  }

  /// Lets the parameters be written to again; a second time does nothing.
  public func end() { guarded.end() }
}
