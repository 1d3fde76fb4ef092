// The list of all optimizers: what Lua binds, help explains and the tests enumerate.

/// All methods of optimization.
public enum OptimizerCatalogue {
  /// Family by family.
  public static let kinds: [OptimizerKind] =
    SGD.kinds + Adam.kinds + RMSprop.kinds + Adagrad.kinds + Adadelta.kinds + Adamax.kinds + NAdam.kinds
    + RAdam.kinds + ASGD.kinds + Rprop.kinds + Adafactor.kinds + Muon.kinds + LBFGS.kinds

  /// The method of that name.
  public static func kind(named name: String) -> OptimizerKind? { kinds.first { $0.name == name } }
}
