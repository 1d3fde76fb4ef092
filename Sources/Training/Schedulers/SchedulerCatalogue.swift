// The list of all schedulers: what Lua binds, help explains and the tests enumerate.

/// All kinds of schedulers.
public enum SchedulerCatalogue {
  /// Family by family.
  public static let kinds: [SchedulerKind] = Decays.kinds + Cosines.kinds + Cycles.kinds + Plateau.kinds + Composites.kinds

  /// The kind of that name.
  public static func kind(named name: String) -> SchedulerKind? { kinds.first { $0.name == name } }
}
