// Groups of parameters for optimizers, by patterns of their names.

import Tensors

extension Module {
  /// The parameters divided by patterns, each with its options, in the order of the model: for optimizers that move some faster than
  /// others. A parameter belongs to the longest pattern that matches one of its names.
  ///
  /// Throws where a pattern matches nothing, or a parameter has none.
  public final func parameterGroups<Options>(_ patterns: [(pattern: String, options: Options)]) throws -> [(
    pattern: String, parameters: [Tensor], options: Options
  )] {
    let all = parametersByAllNames()
    for (pattern, _) in patterns { _ = try selected(.patterns([pattern]), "param_groups") }
    var members = [[Tensor]](repeating: [], count: patterns.count)
    var order: [Int] = []
    var seen = Set<ObjectIdentifier>()
    for parameter in all where seen.insert(ObjectIdentifier(parameter.tensor)).inserted {
      let names = all.filter { $0.tensor === parameter.tensor }.map(\.name)
      let fitting = patterns.indices.filter { place in names.contains { NamePattern.names($0, by: patterns[place].pattern) } }
      guard let best = fitting.max(by: { patterns[$0].pattern.count < patterns[$1].pattern.count }) else {
        throw TensorError(
          .argument, "param_groups", TensorError.Facts("no pattern matches \(parameter.name); a group \"*\" takes what others leave"))
      }
      if members[best].isEmpty { order.append(best) }
      members[best].append(parameter.tensor)
    }
    return order.map { (patterns[$0].pattern, members[$0], patterns[$0].options) }
  }
}
