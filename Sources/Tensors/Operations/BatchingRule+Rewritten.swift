// Rules of operations that neither broadcast nor name dimensions: each is another call of tensors with the batch in front.

extension BatchingRule {
  // MARK: Sizes

  /// Another shape for all elements.
  package static let sizes = BatchingRule.rewritten { call in
    guard case .integers(let sizes) = call.arguments.value(1) else { throw BatchedCall.Unruly() }
    return try call.run([.tensor(call.full(0)), .integers(call.sizes + sizes)])
  }

  /// `expand`, whose new dimensions come after the batch.
  static let expansion = BatchingRule.rewritten { call in
    guard case .integers(let sizes) = call.arguments.value(1) else { throw BatchedCall.Unruly() }
    return try call.run([.tensor(call.full(0, rank: sizes.count)), .integers(call.sizes + sizes)])
  }

  /// A new dimension, by a position among those that there will be; of one tensor, or of a list of them.
  static let newDimension = BatchingRule.rewritten { call in
    let position: Int = if case .integer(let position) = call.arguments.value(1) { position } else { 0 }
    guard let first = call.arguments.tensors.first else { throw BatchedCall.Unruly() }
    let moved = Argument.integer(try call.moved(position, rank: first.ownSizes.count + 1))
    if case .tensors(let list) = call.arguments.value(0) { return try call.run([.tensors(list.map { try call.full($0) }), moved]) }
    return try call.run([.tensor(call.full(0)), moved])
  }

  static let transposition = BatchingRule.rewritten { call in
    let (x, rank) = (try call.full(0), try call.rank(0))
    guard rank <= 2 else { throw BatchedCall.Unruly() }
    return .tensor(try rank == 2 ? x.transpose(-2, -1) : x.view(x.shape.array))
  }

  static let flattening = BatchingRule.rewritten { call in
    .tensor(try call.full(0).reshape(call.sizes + [-1]))
  }

  static let merging = BatchingRule.rewritten { call in
    try call.rank(0) > 0 ? try call.run(by: .dimensions) : .tensor(call.full(0).unsqueeze(-1))
  }

  static let permutation = BatchingRule.rewritten { call in
    guard case .integers(let order) = call.arguments.value(1) else { throw BatchedCall.Unruly() }
    let rank = try call.rank(0)
    return .tensor(try call.full(0).permute(Array(0..<call.depth) + order.map { try call.moved($0, rank: rank) }))
  }

  /// What counts or cuts by lists with an entry for each dimension: none for those of the batch.
  static let repeats = BatchingRule.rewritten { call in
    let list: [Int]
    switch call.arguments.value(1) {
    case .integers(let given): list = given
    case .integer(let given): list = [given]
    default: throw BatchedCall.Unruly()
    }
    return try call.run([.tensor(call.full(0, rank: list.count)), .integers(Array(repeating: 1, count: call.depth) + list)])
  }

  static let diagonal = BatchingRule.rewritten { call in
    let (x, rank) = (try call.full(0), try call.rank(0))
    let offset: Int = if case .integer(let offset) = call.arguments.value(1) { offset } else { 0 }
    guard offset.magnitude < 1 << 48 else { throw BatchedCall.Unruly() }
    switch rank {
    case 1:
      let size = x.shape[x.rank - 1] + abs(offset)
      return .tensor(try x.diagonalScattered(Shape(call.sizes + [size, size], operation: "diag"), offset, call.depth, call.depth + 1))
    case 2: return .tensor(try x.diagonal(offset, -2, -1))
    default: throw BatchedCall.Unruly()
    }
  }

  static let trace = BatchingRule.rewritten { call in
    guard try call.rank(0) == 2 else { throw BatchedCall.Unruly() }
    return .tensor(try call.full(0).diagonal(0, -2, -1).sum([-1]))
  }

  // MARK: Dimensions

  /// As `dimensions`, of one tensor that has some.
  static let ofOne = BatchingRule.rewritten { call in
    guard call.arguments.tensors.count == 1, try call.rank(0) > 0 else { throw BatchedCall.Unruly() }
    return try call.run(by: .dimensions)
  }

  /// As `dimensions` where one is named; what is computed of all elements is something else.
  static let named = BatchingRule.rewritten { call in
    if case .absent = call.arguments.value(1) { throw BatchedCall.Unruly() }
    return try call.run(by: .dimensions)
  }

  /// As `dimensions`, with those of an argument that is absent.
  static func dimensions(_ place: Int, or usual: [Int]) -> BatchingRule {
    .rewritten { call in
      guard case .absent = call.arguments.value(place) else { return try call.run(by: .dimensions) }
      var values = call.arguments.values
      while values.count <= place { values.append(.absent) }
      values[place] = .integers(usual)
      return try BatchedCall(call.operation, Arguments(call.operation.name, values), call.levels).run(by: .dimensions)
    }
  }

  /// The last dimensions, unless an argument names others.
  static func trailing(unless place: Int) -> BatchingRule {
    .rewritten { call in
      if case .absent = call.arguments.value(place) { return try call.run(by: .trailing) }
      return try call.run(by: .dimensions)
    }
  }

  /// The last dimensions, where an argument is given.
  static func trailing(with place: Int) -> BatchingRule {
    .rewritten { call in
      if case .absent = call.arguments.value(place) { throw BatchedCall.Unruly() }
      return try call.run(by: .trailing)
    }
  }

  /// Along a dimension, at positions that all elements of the batch share.
  static let atSharedPositions = BatchingRule.rewritten { call in
    guard let place = call.operation.parameters.firstIndex(where: { $0.kind == .indices }), try !call.isBatched(place) else {
      throw BatchedCall.Unruly()
    }
    return try call.alongDimensions(sharing: place)
  }

  /// Elements along a dimension at a vector of positions, which may be others for each element of the batch.
  static let selection = BatchingRule.rewritten { call in
    guard try call.isBatched(2) else { return try call.alongDimensions(sharing: 2) }
    let (x, index) = (try call.tensor(0), try call.full(2))
    let rank = x.ownSizes.count
    guard case .integer(let dimension) = call.arguments.value(1), try call.rank(2) == 1, rank > 0, dimension >= -rank, dimension < rank
    else { throw BatchedCall.Unruly() }
    let axis = dimension < 0 ? dimension + rank : dimension
    let count = index.shape[call.depth]
    if x.batch.isEmpty {
      let flat = try x.indexSelect(axis, index.reshape([-1]))
      let sizes = Array(x.shape.array[..<axis]) + call.sizes + [count] + x.shape.array[(axis + 1)...]
      let whole = try flat.reshape(sizes)
      let order = Array(axis..<axis + call.depth) + (0..<whole.rank).filter { $0 < axis || $0 >= axis + call.depth }
      return .tensor(try whole.permute(order))
    }
    var sizes = call.sizes + x.ownSizes
    sizes[call.depth + axis] = count
    let places = try index.reshape(
      call.sizes + Array(repeating: 1, count: axis) + [count] + Array(repeating: 1, count: rank - axis - 1))
    return .tensor(try call.full(x).gather(call.depth + axis, places.expand(sizes)))
  }

  /// Elements of all, at positions among them.
  static let takenPlaces = BatchingRule.rewritten { call in
    let index = try call.full(1)
    let flat = try call.full(0).reshape(call.sizes + [-1])
    return .tensor(try flat.gather(call.depth, index.reshape(call.sizes + [-1])).reshape(index.shape.array))
  }

  /// Places of values among bounds that all elements of the batch share.
  static func places(bounds: Int) -> BatchingRule {
    .rewritten { call in
      guard try !call.isBatched(bounds), try call.rank(bounds) == 1 else { throw BatchedCall.Unruly() }
      return try call.operation.run(call.arguments)
    }
  }

  /// A · X = B of matrices, or of a vector B.
  static let solution = BatchingRule.rewritten { call in
    guard try call.rank(0) == 2 else { throw BatchedCall.Unruly() }
    let (a, b) = (try call.full(0), try call.full(1))
    let rest = Array(call.arguments.values.dropFirst(2))
    switch try call.rank(1) {
    case 1:
      guard rest.allSatisfy({ if case .absent = $0 { true } else { false } }) else { throw BatchedCall.Unruly() }
      return try call.run([.tensor(a), .tensor(b.unsqueeze(-1))]).mapTensors { try $0.squeeze([-1]) }
    case 2: return try call.run([.tensor(a), .tensor(b)] + rest)
    default: throw BatchedCall.Unruly()
    }
  }

  // MARK: Reductions

  /// `max` and `min`: of all elements, along a dimension, or of two tensors.
  static func extreme(_ kind: Tensor.Extreme) -> BatchingRule {
    .rewritten { call in
      guard case .absent = call.arguments.value(1) else { return try call.run(by: .dimensions) }
      return .tensor(try call.full(0).reshape(call.sizes + [-1]).extreme(kind, [-1], keepdim: false))
    }
  }

  // MARK: Products

  /// The product of two tensors as `matmul` has it, both with the batch in front.
  private static func product(_ call: BatchedCall, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    let (left, right) = (a.ownSizes.count, b.ownSizes.count)
    guard left > 0, right > 0 else { throw BatchedCall.Unruly() }
    if a.batch.isEmpty, b.batch.isEmpty { return try a.matmul(b) }
    // The batch's vectors beside a matrix that all elements share are the rows of one.
    if left == 1, right == 2, b.batch.isEmpty { return try call.spread(a).matmul(b) }
    if left == 2, right == 1, a.batch.isEmpty { return try call.spread(b).matmul(a.transpose(0, 1)) }
    // Matrices that all elements of the batch share are not copied for it, and the other's rows are those of one product.
    let rank = max(left, right, 2)
    var first = left == 1 ? try call.spread(a).unsqueeze(-2) : a.batch.isEmpty ? a : try call.spread(a, rank: rank)
    var second = right == 1 ? try call.spread(b).unsqueeze(-1) : b.batch.isEmpty ? b : try call.spread(b, rank: rank)
    // Of one of them, a vector has as many dimensions before it as the other has.
    if left == 1, rank > 2 { first = try padded(call, first, to: rank) }
    if right == 1, rank > 2 { second = try padded(call, second, to: rank) }
    var result = try first.matmul(second)
    if right == 1 { result = try result.squeeze([-1]) }
    if left == 1 { result = try result.squeeze([right == 1 ? -1 : -2]) }
    return result
  }

  private static func padded(_ call: BatchedCall, _ x: Tensor, to rank: Int) throws -> Tensor {
    let sizes = x.shape.array
    let own = Array(sizes.dropFirst(call.depth))
    return try x.reshape(Array(sizes.prefix(call.depth)) + Array(repeating: 1, count: rank - own.count) + own)
  }

  /// Of tensors of those ranks, any where nil.
  static func product(_ left: Int? = nil, _ right: Int? = nil) -> BatchingRule {
    .rewritten { call in
      guard try left ?? call.rank(0) == call.rank(0), try right ?? call.rank(1) == call.rank(1) else { throw BatchedCall.Unruly() }
      return .tensor(try product(call, call.tensor(0), call.tensor(1)))
    }
  }

  static let outer = BatchingRule.rewritten { call in
    .tensor(try outer(call, call.tensor(0), call.tensor(1)))
  }

  private static func outer(_ call: BatchedCall, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    guard a.ownSizes.count == 1, b.ownSizes.count == 1 else { throw BatchedCall.Unruly() }
    if a.batch.isEmpty, b.batch.isEmpty { return try a.outer(b) }
    return try call.spread(a).unsqueeze(-1) * call.spread(b).unsqueeze(-2)
  }

  /// beta · input + alpha · (mat1 · mat2), of tensors of those ranks.
  static func sumWithProduct(_ left: Int, _ right: Int, isOuter: Bool = false) -> BatchingRule {
    .rewritten { call in
      guard try call.rank(1) == left, try call.rank(2) == right else { throw BatchedCall.Unruly() }
      let (a, b) = (try call.tensor(1), try call.tensor(2))
      let product = try isOuter ? outer(call, a, b) : product(call, a, b)
      let rank = product.rank - (a.batch.isEmpty && b.batch.isEmpty ? 0 : call.depth)
      let beta = try call.arguments.number(3, default: 1)
      let alpha = try call.arguments.number(4, default: 1)
      let scaled = alpha == 1 ? product : try product * alpha
      if beta == 0 { return .tensor(try scaled.expand(call.sizes + Array(scaled.shape.array.suffix(rank)))) }
      let input = try call.spread(0, rank: rank)
      return .tensor(try scaled + (beta == 1 ? input : input * beta))
    }
  }

  /// input · weightᵀ + bias.
  static let linear = BatchingRule.rewritten { call in
    let (x, weight) = (try call.tensor(0), try call.tensor(1))
    let bias = try call.arguments.optionalTensor(2)
    if weight.batch.isEmpty, bias?.batch.isEmpty ?? true {
      return try call.run([.tensor(x), .tensor(weight)] + (bias.map { [.tensor($0)] } ?? []))
    }
    guard weight.ownSizes.count == 2, (bias?.ownSizes.count ?? 1) == 1, !x.ownSizes.isEmpty else { throw BatchedCall.Unruly() }
    let transposed = try weight.transpose(-2, -1).inBatch(weight.batch)
    let rank = x.ownSizes.count
    let y = try product(call, x, transposed)
    guard let bias else { return .tensor(y) }
    return .tensor(try y + (bias.batch.isEmpty ? bias : call.spread(bias, rank: rank)))
  }

  /// Einstein's notation: the batch's dimensions have letters of their own, in front.
  static let equation = BatchingRule.rewritten { call in
    let equation = try call.arguments.string(0, default: "").filter { $0 != " " }
    let operands = try call.arguments.tensors(1)
    let letters = Set(equation)
    let free = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".filter { !letters.contains($0) }
    guard free.count >= call.depth else { throw BatchedCall.Unruly() }
    let names = Array(free.prefix(call.depth))
    let sides = equation.components(by: "->")
    let terms = sides[0].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard sides.count <= 2, terms.count == operands.count else { throw BatchedCall.Unruly() }
    // What is left out is what `einsum` takes for it.
    let counts = terms.joined().reduce(into: [Character: Int]()) { if $1 != "." { $0[$1, default: 0] += 1 } }
    let implied = (equation.contains("...") ? "..." : "") + String(counts.filter { $0.value == 1 }.keys.sorted())
    let batched = zip(terms, operands).map { term, operand in
      String(zip(names, call.levels).filter { operand.batch.contains($0.1.number) }.map(\.0)) + term
    }
    let result = String(names) + (sides.count == 2 ? sides[1] : implied)
    return try call.run([.string(batched.joined(separator: ",") + "->" + result), .tensors(operands)])
  }

  // MARK: Losses

  /// A loss of each element and its target, reduced over those of one element of the batch; a mean is by their number.
  static let loss = BatchingRule.rewritten { try elementwiseLoss($0, meanByWeights: false) }

  /// The same, where a mean with weights is by their sum.
  static let weightedLoss = BatchingRule.rewritten { try elementwiseLoss($0, meanByWeights: true) }

  private static func elementwiseLoss(_ call: BatchedCall, meanByWeights: Bool) throws -> Output {
    let parameters = call.operation.parameters
    guard let place = parameters.firstIndex(where: { $0.name == "reduction" }) else { throw BatchedCall.Unruly() }
    let reduction = try Reduction(named: call.arguments.string(place, default: "mean"), call.operation.name)
    var values = call.arguments.values
    while values.count <= place { values.append(.absent) }
    values[place] = .string("none")
    let rank = call.arguments.tensors.map(\.ownSizes.count).max() ?? 0
    let each = try call.operation.run(
      Arguments(call.operation.name, values).mapped { $0.batch.isEmpty && $0.ownSizes.count < rank ? $0 : try call.full($0, rank: rank) }
    ).tensors[0]
    if meanByWeights, reduction == .mean, let place = parameters.firstIndex(where: { $0.name == "weight" }),
      let weight = try call.arguments.optionalTensor(place)
    {
      let own = Array(call.depth..<each.rank)
      return .tensor(try each.sum(own) / call.full(weight, rank: rank).expand(each.shape.array).sum(own))
    }
    return .tensor(try reduced(each, from: call.depth, reduction))
  }

  private static func reduced(_ each: Tensor, from depth: Int, _ reduction: Reduction) throws -> Tensor {
    let own = Array(depth..<each.rank)
    switch reduction {
    case .none: return each
    case .sum: return own.isEmpty ? each : try each.sum(own)
    case .mean: return own.isEmpty ? each : try each.mean(own)
    }
  }

  /// A loss of classes: the batch's elements are more of the samples that it knows.
  static let classLoss = BatchingRule.rewritten { call in
    let parameters = call.operation.parameters
    let (x, target) = (try call.tensor(0), try call.tensor(1))
    guard let place = parameters.firstIndex(where: { $0.name == "reduction" }), !x.ownSizes.isEmpty else { throw BatchedCall.Unruly() }
    let reduction = try Reduction(named: call.arguments.string(place, default: "mean"), call.operation.name)
    let weight = try call.arguments.optionalTensor(2)
    let areLabels = !target.dtype.isFloating
    // A mean with weights is divided by those of each element's classes.
    guard weight?.batch.isEmpty ?? true, weight == nil || reduction != .mean || !areLabels else { throw BatchedCall.Unruly() }
    let rank = x.ownSizes.count
    guard target.ownSizes.count == (areLabels ? max(rank - 1, 0) : rank) else { throw BatchedCall.Unruly() }
    // (batch, classes, …) with the samples and the batch in one dimension.
    func merged(_ tensor: Tensor, _ inner: Int) throws -> Tensor {
      let full = try call.full(tensor)
      return try full.reshape([-1] + full.shape.array.suffix(inner))
    }
    let inner = rank == 1 ? 1 : rank - 1
    var values = call.arguments.values
    while values.count <= place { values.append(.absent) }
    values[0] = .tensor(try merged(x, inner))
    values[1] = .tensor(try merged(target, areLabels ? inner - 1 : inner))
    values[place] = .string("none")
    guard call.sizes.allSatisfy({ $0 > 0 }), !x.ownSizes.contains(0), case .tensor(let flat) = try call.run(values) else {
      throw BatchedCall.Unruly()
    }
    let own = rank == 1 ? [] : Array(x.ownSizes.prefix(1) + x.ownSizes.dropFirst(2))
    let each = try flat.reshape(call.sizes + own)
    guard reduction == .mean, !own.isEmpty else { return .tensor(try reduced(each, from: call.depth, reduction)) }
    let dimensions = Array(call.depth..<each.rank)
    let total = try each.sum(dimensions)
    if !areLabels { return .tensor(try total / Double(x.ownSizes[0])) }
    let ignored: Int = if case .integer(let label) = call.arguments.value(3) { label } else { -100 }
    let counted = try Comparison.ne(call.full(target), .integer(Int64(ignored))).to(each.dtype).sum(dimensions)
    return .tensor(try total / counted)
  }
}

extension String {
  /// The parts between occurrences of a separator.
  fileprivate func components(by separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
