// The list of all operations that have arguments of their own: what Lua binds, help explains and the tests enumerate.

/// All operations, family by family.
package enum Catalogue {
  // One family a line. A sum of so many lists would take the compiler seconds.
  package static let operations: [TensorOperation] = [
    elementwise,
    Special.list,
    Statistics.list,
    Rearranging.list,
    Contractions.list,
    Linalg.list,
    Selection.list,
    Activations.list,
    Reductions.list,
    Sorting.list,
    Products.list,
    Einsum.list,
    Convolutions.list,
    Poolings.list,
    Normalisations.list,
    Paddings.list,
    ColumnOperations.list,
    Interpolations.list,
    Attention.list,
    Views.list,
    Shaping.list,
    Joining.list,
    Indexing.list,
    Conversion.list,
    Losses.list,
    Losses.classes,
    LossFormulas.list,
    CtcLoss.list,
    Gamma.list,
    Thresholds.list,
    Lookups.list,
    Scattering.list,
    Facts.list,
  ].flatMap { $0 }

  private static let elementwise: [TensorOperation] =
    Unary.list.map(\.operation) + Binary.operations + Binary.list.map(\.operation) + [Power.operation]
    + Comparison.list.map(\.operation) + Predicate.list.map(\.operation)

  fileprivate static let byName = Dictionary(uniqueKeysWithValues: operations.map { ($0.name, $0) })
}

extension TensorOperation {
  /// The operation of that name.
  package static func named(_ name: String) -> TensorOperation? { Catalogue.byName[name] }

  /// The first result of the operation of that name, which there must be; with a `_` at its end, written into the first argument.
  package static func call(_ name: String, _ arguments: Argument...) throws -> Tensor {
    let isInPlace = name.hasSuffix("_")
    guard let operation = named(isInPlace ? String(name.dropLast()) : name) else { preconditionFailure("there is no \(name)") }
    let given = Arguments(name, arguments)
    return try isInPlace ? operation.runInPlace(given) : operation.run(given).tensors[0]
  }
}
