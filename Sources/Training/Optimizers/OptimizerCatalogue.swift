// The list of all optimizers: what Lua binds, help explains and the tests enumerate.

/// All methods of optimization.
public enum OptimizerCatalogue {
  /// Family by family.
  public static let kinds: [OptimizerKind] =
    [
      SGDMethod.kinds, AdamMethod.kinds, RMSpropMethod.kinds, AdagradMethod.kinds, AdadeltaMethod.kinds, AdamaxMethod.kinds,
      NAdamMethod.kinds, RAdamMethod.kinds, ASGDMethod.kinds, RpropMethod.kinds, AdafactorMethod.kinds, MuonMethod.kinds,
      LBFGSMethod.kinds,
    ].flatMap { $0 }

  /// The method of that name.
  public static func kind(named name: String) -> OptimizerKind? { kinds.first { $0.name == name } }
}
