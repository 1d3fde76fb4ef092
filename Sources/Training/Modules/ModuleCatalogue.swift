// The list of all classes of modules: what Lua binds, help explains and the tests enumerate.

import Tensors

/// All classes of modules, family by family. Containers are not among them: they are made from modules, not arguments.
public enum ModuleCatalogue {
  /// Family by family.
  public static let kinds: [ModuleKind] =
    Linear.kinds + Flatten.kinds + Embedding.kinds + Dropout.kinds + Activation.kinds + Loss.kinds + Convolution.kinds
    + Pooling.kinds + Normalisation.kinds + Rearrangement.kinds + ElementLayer.kinds + Recurrent.kinds + AttentionLayer.kinds

  /// The module's class; nil for a class of the host's own, whatever its name.
  public static func kind(of module: Module) -> ModuleKind? {
    kind(named: module.kind).flatMap { $0.describes(module) ? $0 : nil }
  }

  /// The class of that name.
  public static func kind(named name: String) -> ModuleKind? { byName[name] }

  /// A module of the class of that name. What is wrong with the arguments is said of the class `caller`, where one is named.
  static func made(_ name: String, _ arguments: [Argument], for caller: String? = nil) throws -> Module {
    guard let kind = kind(named: name) else { preconditionFailure("there is no class \(name)") }
    return try kind.make(Arguments(caller ?? name, arguments))
  }

  private static let byName = Dictionary(uniqueKeysWithValues: kinds.map { ($0.name, $0) })
}
