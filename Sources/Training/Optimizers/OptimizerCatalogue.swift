// The list of all optimizers: what Lua binds, help explains and the tests enumerate.

/// All methods of optimization.
public enum OptimizerCatalogue {
  public static let kinds: [OptimizerKind] = [SGD.declaration]
}
