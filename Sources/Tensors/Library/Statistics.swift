// What is counted, ordered and summed over tensors, beyond the reductions that have rules of their own.

import CKernels

extension Tensor {
  /// ln of the running sums of exponentials along a dimension, without overflow.
  public func logcumsumexp(_ dimension: Int) throws -> Tensor {
    try requireFloating("logcumsumexp")
    let axis = try shape.axis(dimension, "logcumsumexp")
    let extent = rank == 0 ? (1, 1, 1) : (shape.count(0..<axis), shape[axis], shape.count(axis + 1..<rank))
    let (x, y) = (try packed(), try Tensor(uninitialized: shape, dtype))
    if count > 0 {
      try LogCumSumExp.kernel(
        dtype, .read(x.data, dtype, count), .write(y.data, dtype, count), sizes: (extent.0, extent.1, extent.2, 0))
    }
    return try y.recorded(LogCumSumExp(dim: axis), self)
  }

  /// The `q`-quantiles along a dimension, or of all elements: between the neighbours by `interpolation`, `linear`, `lower`,
  /// `higher`, `nearest` or `midpoint`. Several quantiles come along a new first dimension.
  func quantile(_ q: Tensor, _ dimension: Int?, keepdim: Bool, _ interpolation: String) throws -> Tensor {
    guard dtype == .float32 || dtype == .float64 else {
      throw TensorError(.dtype, "quantile", "a tensor of float32 or float64 is needed, this one is \(dtype)")
    }
    guard q.dtype == dtype, q.rank <= 1 else {
      throw TensorError(
        .dtype, "quantile", "q must be a number, or numbers in a vector of the input's dtype \(dtype), got \(q.dtype) of shape \(q.shape)")
    }
    if let wrong = try q.noProbability { throw TensorError(.domain, "quantile", "quantiles lie between 0 and 1, got \(wrong)") }
    guard ["linear", "lower", "higher", "nearest", "midpoint"].contains(interpolation) else {
      throw TensorError(
        .argument, "quantile", "unknown interpolation \"\(interpolation)\"; there are linear, lower, higher, nearest and midpoint")
    }
    guard count > 0 else { throw TensorError(.shape, "quantile", "of shape \(shape) there are no quantiles") }
    let axis = try dimension.map { try shape.axis($0, "quantile") }
    // Which neighbours these are depends on q, so that the whole is one operation.
    return try Formula.of([self, q], "QuantileBackward0", ["self": .input(0), "q": .input(1)]) { inputs in
      try inputs[0].quantile(inputs[1], axis, keepdim: keepdim, by: interpolation)
    }
  }

  private func quantile(_ q: Tensor, _ axis: Int?, keepdim: Bool, by interpolation: String) throws -> Tensor {
    let x = axis == nil || rank == 0 ? try reshape([-1]) : try movedim([axis!], [-1])
    let n = x.shape[x.rank - 1]
    let sorted = try x.sort(-1).values
    // Rows with NaN have NaN, which is sorted to the end.
    let places = try (q * Double(n - 1)).reshape([-1])
    let (below, above) = (try Unary.floor(places), try Unary.ceil(places))
    func at(_ places: Tensor) throws -> Tensor { try sorted.indexSelect(-1, places.to(.int64)) }
    var y: Tensor
    switch interpolation {
    case "lower": y = try at(below)
    case "higher": y = try at(above)
    case "nearest": y = try at(Unary.round(places))
    case "midpoint": y = try at(below).lerp(at(above), 0.5)
    default:
      y = try at(below).lerp(at(above), places - below)
    }
    let last = try sorted.narrow(-1, n - 1, 1)
    y = try Predicate.isnan(last).choosing(last, else: y)
    y = try y.movedim([-1], [0])
    if keepdim {
      let kept = axis == nil ? [Int](repeating: 1, count: rank) : shape.replacing(axis!, with: 1).array
      y = try y.reshape([places.count] + kept)
    }
    return try q.rank == 0 ? y.select(0, 0) : y
  }

  /// How often each whole number from 0 on is there, or the sums of `weights` for each.
  func bincount(_ weights: Tensor?, _ least: Int) throws -> Tensor {
    guard rank == 1, dtype.category == .integer else {
      throw TensorError(.dtype, "bincount", "a vector of whole numbers is needed, got \(dtype) of shape \(shape)")
    }
    guard least >= 0 else { throw TensorError(.argument, "bincount", "minlength must not be negative, got \(least)") }
    guard weights == nil || weights!.shape == shape else {
      throw TensorError(.shape, "bincount", "weights of shape \(weights!.shape) do not fit an input of shape \(shape)")
    }
    let largest = try count == 0 ? -1 : max().item().integer
    if count > 0, try min().item().integer < 0 { throw TensorError(.domain, "bincount", "the numbers must not be negative") }
    guard largest < 1 << 40 else { throw TensorError(.memory, "bincount", "\(largest) bins are more than there can be") }
    let bins = Swift.max(Int(largest) + 1, least)
    return try withNoGrad {
      let each = try weights.map { try $0.dtype == .float32 ? $0 : $0.to(.float64) } ?? Tensor.ones([count], dtype: .int64)
      return try Tensor.zeros([bins], dtype: each.dtype).indexAdd(0, to(.int64), each)
    }
  }

  /// The different elements: in order, or as they come where only neighbours count as equal; where it is asked for with where each
  /// element's value went, and how often each is there.
  func unique(consecutive: Bool, inverse wantsInverse: Bool, counts wantsCounts: Bool) throws -> (
    values: Tensor, inverse: Tensor?, counts: Tensor?
  ) {
    try withNoGrad {
      let flat = try detach().reshape([-1])
      guard count > 0 else {
        return (flat, wantsInverse ? try reshape(shape).to(.int64) : nil, wantsCounts ? try Tensor.zeros([0], dtype: .int64) : nil)
      }
      let (sorted, order) = consecutive ? (flat, nil) : try flat.sort(0)
      // An element starts a run where it differs from the one before; NaN does always.
      let starts = try Joining.cat(
        [Tensor.filled([1], .boolean(true), dtype: .bool), Comparison.ne(sorted.narrow(0, 1, count - 1), sorted.narrow(0, 0, count - 1))], 0
      )
      let values = try sorted.maskedSelect(starts)
      guard wantsInverse || wantsCounts else { return (values, nil, nil) }
      let number = try Binary.sub(starts.to(.int64).cumsum(0), .integer(1))
      let inverse = wantsInverse ? try order.map { try Tensor.zeros([count], dtype: .int64).scatter(0, $0, number) } ?? number : nil
      let counts =
        wantsCounts ? try Tensor.zeros(values.shape, dtype: .int64).indexAdd(0, number, Tensor.ones([count], dtype: .int64)) : nil
      return (values, try inverse?.reshape(shape), counts)
    }
  }

  /// Where elements are among `others`, by a search in those sorted.
  func isin(_ others: Tensor, invert: Bool) throws -> Tensor {
    try withNoGrad {
      guard others.count > 0, count > 0 else { return try Tensor.filled(shape, .boolean(invert), dtype: .bool) }
      let common = DType.promoted(dtype, others.dtype)
      let sorted = try others.to(common).reshape([-1]).sort(0).values
      let flat = try to(common).reshape([-1])
      let at = try Tensor.searchsorted(sorted, flat, right: false, "isin").clamp(nil, .integer(Int64(others.count - 1)))
      let found = try sorted.indexSelect(0, at).eq(flat).reshape(shape)
      return try invert ? found.logicalNot() : found
    }
  }

  /// Where values would stand in sorted rows: before the first element that is not less, or with `right` before the first
  /// that is greater. Rows go with the values' rows, or one row with all of them.
  static func searchsorted(_ sorted: Tensor, _ values: Tensor, right: Bool, _ operation: String) throws -> Tensor {
    guard DType.promoted(sorted.dtype, values.dtype) != .bool || operation == "isin" else {
      throw TensorError(.dtype, operation, "numbers are needed, not tensors of bool")
    }
    guard sorted.rank > 0 else { throw TensorError(.shape, operation, "the sorted tensor needs at least 1 dimension") }
    let n = sorted.shape[sorted.rank - 1]
    let oneRow = sorted.rank == 1
    let leading = values.rank > 0 ? values.shape.removing([values.rank - 1], keeping: false) : Shape()
    guard oneRow || sorted.shape.removing([sorted.rank - 1], keeping: false) == leading else {
      throw TensorError(.shape, operation, "sorted rows of shape \(sorted.shape) do not fit values of shape \(values.shape)")
    }
    let common = DType.promoted(sorted.dtype, values.dtype)
    // Both float32, or narrower: their values are those of float32. Beside whole numbers only float64 keeps what both are.
    let areNarrow = sorted.dtype.isFloating && values.dtype.isFloating && common != .float64
    let wide: DType = areNarrow ? .float32 : common.isFloating ? .float64 : .int64
    let (rows, x) = (try sorted.to(wide).packed(), try values.to(wide).packed())
    let y = try Tensor(uninitialized: values.shape, .int64)
    let width = oneRow ? values.count : values.rank > 0 ? values.shape[values.rank - 1] : 1
    try searchKernel(
      wide, .read(rows.data, wide, rows.count), .read(x.data, wide, x.count), .write(y.data, .int64, y.count),
      sizes: (n, width, right ? 1 : 0, 0))
    return y
  }

  private static let searchKernel = NamedKernel("searchsorted")

  /// How many elements lie in each of `bins` intervals of equal width between `low` and `high`, or between the least and the
  /// largest element where the two are equal.
  func histc(_ bins: Int, _ low: Double, _ high: Double) throws -> Tensor {
    try requireFloating("histc")
    guard bins > 0 else { throw TensorError(.argument, "histc", "the number of bins must be positive, got \(bins)") }
    guard low <= high else { throw TensorError(.argument, "histc", "max must not be less than min, got \(low) and \(high)") }
    return try withNoGrad {
      var (low, high) = (low, high)
      if low == high, count > 0 { (low, high) = (try min().item().real, try max().item().real) }
      if low == high { (low, high) = (low - 1, high + 1) }
      guard low.isFinite, high.isFinite else { throw TensorError(.domain, "histc", "the range from \(low) to \(high) is not finite") }
      let flat = try detach().reshape([-1])
      let inside = try flat.maskedSelect(Comparison.and(flat.ge(low), flat.le(high))).to(.float64)
      let at = try Unary.floor((inside - low) * (Double(bins) / (high - low))).clamp(.integer(0), .integer(Int64(bins - 1))).to(.int64)
      return try Tensor.zeros([bins], dtype: dtype).indexAdd(0, at, Tensor.ones([at.count], dtype: dtype))
    }
  }

  /// The sum of the elements that are not NaN.
  func nansum(_ dims: [Int]?, keepdim: Bool) throws -> Tensor {
    guard dtype.isFloating else { return try sum(dims, keepdim: keepdim) }
    return try Formula.of([self], "NansumBackward0", ["self": .input(0)]) { x in
      try x[0].maskedFill(Predicate.isnan(x[0]), .integer(0)).sum(dims, keepdim: keepdim)
    }
  }

  /// The n-th differences of neighbours along a dimension.
  func diff(_ n: Int, _ dimension: Int) throws -> Tensor {
    guard n >= 0 else { throw TensorError(.argument, "diff", "n must not be negative, got \(n)") }
    guard rank > 0 else { throw TensorError(.shape, "diff", "at least 1 dimension is needed") }
    let axis = try shape.axis(dimension, "diff")
    var y = self
    for _ in 0..<Swift.min(n, shape[axis]) {
      try Context.checkStop()  // nothing has as many differences as it is long
      let size = y.shape[axis]
      let (later, earlier) = (try y.narrow(axis, 1, Swift.max(size - 1, 0)), try y.narrow(axis, 0, Swift.max(size - 1, 0)))
      y = try dtype == .bool ? Comparison.xor(later, earlier) : later - earlier
    }
    return try n == 0 ? y.clone() : y
  }

  /// Rows are variables and columns observations; divided by n − correction.
  func cov(_ correction: Int) throws -> Tensor {
    guard dtype != .bool else { throw TensorError(.dtype, "cov", "not defined for tensors of bool") }
    guard rank <= 2 else { throw TensorError(.shape, "cov", "at most 2 dimensions are possible, got shape \(shape)") }
    let x = try (rank < 2 ? reshape([1, -1]) : self).asFloats()
    let centered = try x - x.mean([1], keepdim: true)
    let y = try centered.mm(centered.t()) / Swift.max(Double(x.shape[1]) - Double(correction), 0)
    return try rank < 2 ? y.reshape([]) : y
  }

  /// Rows are variables and columns observations.
  func corrcoef() throws -> Tensor {
    let covariance = try cov(1)
    guard covariance.rank == 2 else { return try covariance / covariance }
    let deviation = try covariance.diagonal().sqrt()
    return try (covariance / deviation.unsqueeze(1) / deviation.unsqueeze(0)).clamp(.real(-1), .real(1))
  }

  /// The area under the points along a dimension by trapezoids, at distances `dx` or places `x`.
  func trapezoid(_ x: Tensor?, _ dx: Double, _ dimension: Int) throws -> Tensor {
    guard dtype != .bool else { throw TensorError(.dtype, "trapezoid", "not defined for tensors of bool") }
    guard rank > 0 else { throw TensorError(.shape, "trapezoid", "at least 1 dimension is needed") }
    let axis = try shape.axis(dimension, "trapezoid")
    let n = Swift.max(shape[axis] - 1, 0)
    let sums = try narrow(axis, Swift.min(1, shape[axis]), n) + narrow(axis, 0, n)
    guard let x else { return try sums.sum([axis]) * (dx / 2) }
    return try (sums * widths(of: x, axis, "trapezoid")).sum([axis]) / 2.0
  }

  /// The running areas under the points along a dimension, one less than there are points.
  fileprivate func cumulativeTrapezoid(_ x: Tensor?, _ dx: Double, _ dimension: Int) throws -> Tensor {
    guard dtype != .bool else { throw TensorError(.dtype, "cumulative_trapezoid", "not defined for tensors of bool") }
    guard rank > 0 else { throw TensorError(.shape, "cumulative_trapezoid", "at least 1 dimension is needed") }
    let axis = try shape.axis(dimension, "cumulative_trapezoid")
    let n = Swift.max(shape[axis] - 1, 0)
    let sums = try narrow(axis, Swift.min(1, shape[axis]), n) + narrow(axis, 0, n)
    guard let x else { return try sums.cumsum(axis) * (dx / 2) }
    return try (sums * widths(of: x, axis, "cumulative_trapezoid")).cumsum(axis) / 2.0
  }

  /// The distances of the places `x` of the points along an axis: a vector, or places for each row.
  private func widths(of x: Tensor, _ axis: Int, _ name: String) throws -> Tensor {
    let own = x.rank == 1 ? 0 : axis - (rank - x.rank)
    guard own >= 0, own < x.rank, x.shape[own] == shape[axis] else {
      throw TensorError(
        .shape, name, "places of shape \(x.shape) do not fit the \(shape[axis]) points along dimension \(index: axis) of shape \(shape)")
    }
    let widths = try x.diff(1, own)
    guard x.rank == 1 else { return widths }
    var sizes = [Int](repeating: 1, count: rank)
    sizes[axis] = widths.count
    return try widths.reshape(sizes)
  }

  /// How many elements lie in each bin, or their density, and the bins' edges: the last bin has both of its edges.
  fileprivate func histogram(_ bins: Operand, _ range: Numbers?, density: Bool) throws -> (counts: Tensor, edges: Tensor) {
    guard dtype == .float32 || dtype == .float64 else {
      throw TensorError(.dtype, "histogram", "a tensor of float32 or float64 is needed, this one is \(dtype)")
    }
    return try withNoGrad {
      let flat = try detach().reshape([-1])
      let edges: Tensor
      switch bins {
      case .tensor(let given):
        guard given.rank == 1, given.count >= 2 else {
          throw TensorError(.shape, "histogram", "the edges must be a vector of at least 2, got shape \(given.shape)")
        }
        guard given.dtype == dtype, range == nil else {
          throw TensorError(.dtype, "histogram", "edges must have the input's dtype, and leave no range to choose; got \(given.dtype)")
        }
        edges = try given.copied()
      case .number(let number):
        guard let count = Int(exactly: number.real), count > 0 else {
          throw TensorError(.argument, "histogram", "the number of bins must be whole and positive, got \(number)")
        }
        var (low, high) = (0.0, 1.0)
        switch range {
        case .list(let ends) where ends.count == 2: (low, high) = (ends[0], ends[1])
        case nil: if self.count > 0 { (low, high) = (try min().item().real, try max().item().real) }
        default: throw TensorError(.argument, "histogram", "the range must be a list of two numbers")
        }
        guard low.isFinite, high.isFinite else {
          throw TensorError(.domain, "histogram", range == nil ? "elements that are not finite need a range" : "the range must be finite")
        }
        guard low <= high else { throw TensorError(.argument, "histogram", "the range from \(low) to \(high) goes down") }
        if low == high { (low, high) = (low - 0.5, high + 0.5) }
        edges = try Tensor.linspace(low, high, count + 1, dtype: dtype)
      }
      let n = edges.count - 1
      let (low, high) = (edges.element(0).real, edges.element(n).real)
      let inside = try flat.maskedSelect(Comparison.and(flat.ge(low), flat.le(high)))
      let at = try Binary.sub(Tensor.searchsorted(edges, inside, right: true, "histogram"), .integer(1))
        .clamp(.integer(0), .integer(Int64(n - 1)))
      var counts = try Tensor.zeros([n], dtype: dtype).indexAdd(0, at, Tensor.ones([at.count], dtype: dtype))
      if density { counts = try counts / (edges.diff(1, 0) * counts.sum()) }
      return (counts, edges)
    }
  }

  /// The derivatives along dimensions of a function that is known at points: of the second order inside, of `order` at the ends.
  fileprivate func gradients(_ spacing: Numbers?, _ dimensions: [Int]?, _ order: Int) throws -> [Tensor] {
    guard dtype != .bool else { throw TensorError(.dtype, "gradient", "not defined for tensors of bool") }
    guard order == 1 || order == 2 else { throw TensorError(.argument, "gradient", "edge_order must be 1 or 2, got \(order)") }
    let axes = try dimensions.map { try $0.map { try shape.axis($0, "gradient") } } ?? Array(0..<rank)
    guard rank > 0 else { return [] }
    guard Set(axes).count == axes.count else { throw TensorError(.argument, "gradient", "a dimension is named twice") }
    for axis in axes where shape[axis] <= order {
      throw TensorError(
        .shape, "gradient", "dimension \(index: axis) of shape \(shape) needs at least \(order + 1) points for edges of order \(order)")
    }
    let count: Int? =
      switch spacing {
      case .list(let list): list.count
      case .tensors(let list): list.count
      default: nil
      }
    guard count ?? axes.count == axes.count else {
      throw TensorError(.argument, "gradient", "\(count ?? 0) spacings were given for \(axes.count) dimensions")
    }
    let x = try asFloats()
    return try axes.enumerated().map { position, axis in
      switch spacing {
      case .tensors(let list): try x.derivative(axis, at: list[position], order)
      case .list(let list): try x.derivative(axis, by: list[position], order)
      case .number(let number): try x.derivative(axis, by: number, order)
      case nil: try x.derivative(axis, by: 1, order)
      }
    }
  }

  private func derivative(_ axis: Int, by step: Double, _ order: Int) throws -> Tensor {
    let n = shape[axis]
    func at(_ start: Int, _ length: Int = 1) throws -> Tensor { try narrow(axis, start, length) }
    let inside = try (at(2, n - 2) - at(0, n - 2)) / (2 * step)
    let (first, last): (Tensor, Tensor)
    if order == 1 {
      (first, last) = (try (at(1) - at(0)) / step, try (at(n - 1) - at(n - 2)) / step)
    } else {
      first = try (at(0) * -1.5 + at(1) * 2.0 - at(2) * 0.5) / step
      last = try (at(n - 1) * 1.5 - at(n - 2) * 2.0 + at(n - 3) * 0.5) / step
    }
    return try Joining.cat([first, inside, last], axis)
  }

  private func derivative(_ axis: Int, at places: Tensor, _ order: Int) throws -> Tensor {
    let n = shape[axis]
    guard places.rank == 1, places.count == n else {
      throw TensorError(
        .shape, "gradient", "places of shape \(places.shape) do not fit dimension \(index: axis) of shape \(shape)")
    }
    var sizes = [Int](repeating: 1, count: rank)
    sizes[axis] = n - 1
    let widths = try places.asFloats().diff(1, 0).reshape(sizes)
    func at(_ start: Int, _ length: Int = 1) throws -> Tensor { try narrow(axis, start, length) }
    func width(_ start: Int, _ length: Int = 1) throws -> Tensor { try widths.narrow(axis, start, length) }
    let (before, after) = (try width(0, n - 2), try width(1, n - 2))
    let both = try before + after
    let inside =
      try at(1, n - 2) * ((after - before) / (before * after)) + at(2, n - 2) * (before / (after * both))
      - at(0, n - 2) * (after / (before * both))
    let (first, last): (Tensor, Tensor)
    if order == 1 {
      (first, last) = (try (at(1) - at(0)) / width(0), try (at(n - 1) - at(n - 2)) / width(n - 2))
    } else {
      let (a, b, y, z) = (try width(0), try width(1), try width(n - 3), try width(n - 2))
      first = try at(1) * ((a + b) / (a * b)) - at(0) * ((a * 2.0 + b) / (a * (a + b))) - at(2) * (a / (b * (a + b)))
      last = try at(n - 1) * ((z * 2.0 + y) / (z * (y + z))) - at(n - 2) * ((y + z) / (y * z)) + at(n - 3) * (z / (y * (y + z)))
    }
    return try Joining.cat([first, inside, last], axis)
  }

  /// Powers of a vector's elements as the rows of a matrix, falling or rising from 0.
  func vander(_ columns: Int?, increasing: Bool) throws -> Tensor {
    guard rank == 1 else { throw TensorError(.shape, "vander", "a vector is needed, the shape is \(shape)") }
    let n = columns ?? count
    guard n >= 0 else { throw TensorError(.argument, "vander", "N must not be negative, got \(n)") }
    let x = try dtype.isFloating ? self : to(.int64)
    guard n > 0 else { return try Tensor.zeros(Shape([count, 0]), dtype: x.dtype) }
    let ones = try Tensor.ones(Shape([count, 1]), dtype: x.dtype)
    let powers = try Joining.cat([ones, x.unsqueeze(1).expand([count, n - 1])], 1).cumprod(1)
    return try increasing ? powers : powers.flip([1])
  }
}

private struct LogCumSumExp: Operation {
  static let kernel = NamedKernel("logcumsumexp")
  private static let slope = NamedKernel("logcumsumexp_gradient")
  let dim: Int

  var nodeName: String { "LogcumsumexpBackward0" }
  func uses(_ number: Int) -> Uses { [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    // dx[i] = Σ over j ≥ i of g[j] · e^(x[i] − y[j]), where no exponent is above 0.
    let (x, y) = (try c.a, try c.y)
    let shape = x.shape
    if shape.rank == 0 {
      c[0] = c.g
    } else if c.createsGraph {
      // All pairs, as a matrix: only those who differentiate twice pay for it.
      let (rows, columns) = (try x.movedim([dim], [-1]).unsqueeze(-1), try y.movedim([dim], [-1]).unsqueeze(-2))
      let n = shape[dim]
      let before = try Tensor.filled([n, n], .boolean(true), dtype: .bool).triangle(-1, lower: true)
      let weights = try (rows - columns).maskedFill(before, .real(-.infinity)).exp()
      c[0] = try (weights * c.g.movedim([dim], [-1]).unsqueeze(-2)).sum([-1]).movedim([-1], [dim])
    } else {
      let (px, py, pg) = (try x.packed(), try y.packed(), try c.g.packed())
      let dx = try Tensor(uninitialized: shape, x.dtype)
      let n = x.count
      try LogCumSumExp.slope(
        x.dtype, .read(px.data, x.dtype, n), .read(py.data, x.dtype, n), .read(pg.data, x.dtype, n), .write(dx.data, x.dtype, n),
        sizes: (shape.count(0..<dim), shape[dim], shape.count(dim + 1..<shape.rank), 0))
      c[0] = dx
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].logcumsumexp(dim)] }
}

enum Statistics {
  private static let beyond: [Sample] = [[.float(2, 3), .integer(2)]]
  private static let unbiased = Take.optionalFlag("unbiased", namedOnly: true)

  static let list: [TensorOperation] = [
    TensorOperation(
      "std_mean", "The standard deviation and the mean over dimensions.", Take.input, Take.dims, Take.number("correction", default: 1),
      Take.keepdim, unbiased, samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]], composed: true
    ) { x, dims, correction, keepdim, unbiased in
      let correction = unbiased.map { $0 ? 1 : 0 } ?? correction
      return .several([
        .tensor(try x.std(dims, correction: correction, keepdim: keepdim)), .tensor(try x.mean(dims, keepdim: keepdim)),
      ])
    },
    TensorOperation(
      "var_mean", "The variance and the mean over dimensions.", Take.input, Take.dims, Take.number("correction", default: 1),
      Take.keepdim, unbiased, samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]], composed: true
    ) { x, dims, correction, keepdim, unbiased in
      let correction = unbiased.map { $0 ? 1 : 0 } ?? correction
      return .several([
        .tensor(try x.variance(dims, correction: correction, keepdim: keepdim)), .tensor(try x.mean(dims, keepdim: keepdim)),
      ])
    },
    TensorOperation(
      "aminmax", "The smallest and the largest element, of all or along a dimension.", Take.input, Take.optionalDimension("dim"),
      Take.keepdim,
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0), .flag(true)]], rejects: beyond, composed: true
    ) { x, dim, keepdim in
      let dims = dim.map { [$0] }
      return .several([.tensor(try x.extreme(.amin, dims, keepdim: keepdim)), .tensor(try x.extreme(.amax, dims, keepdim: keepdim))])
    },
    running("cummax", "The largest element so far along a dimension, and its position.") { try $0.cummax($1) },
    running("cummin", "The smallest element so far along a dimension, and its position.") { try $0.cummin($1) },
    TensorOperation(
      "logcumsumexp", "ln of the running sums of exponentials along a dimension, without overflow.", Take.input, Take.dim,
      samples: [
        [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.values([3], [1, 2, 0]), .integer(0)], [.float(), .integer(0)],
      ], rejects: beyond
    ) { x, dim in .tensor(try x.logcumsumexp(dim)) },
    TensorOperation(
      "quantile", "Quantiles along a dimension, or of all elements.", Take.input, Take.operand("q"), Take.optionalDimension("dim"),
      Take.keepdim,
      Take.text("interpolation", default: "linear").oneOf("linear", "lower", "higher", "midpoint", "nearest"),
      samples: [
        [.float(2, 5), .number(0.3)], [.float(2, 5), .number(0.5), .integer(1)], [.float(2, 5), .float([2], 0.1...0.9), .integer(1)],
        [.float(5, 2), .number(0.6), .integer(0), .flag(true)],
        [.float(2, 5), .number(0.3), .integer(1), .flag(false), .text("lower")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("midpoint")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("higher")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("nearest")],
      ], rejects: [[.float(3), .number(1.5)], [.float(0), .number(0.5)]], composed: true, batching: .ofOne
    ) { x, q, dim, keepdim, interpolation in
      let quantiles: Tensor =
        switch q {
        case .number(let number): try Tensor.filled([], number, dtype: x.dtype)
        case .tensor(let tensor): tensor
        }
      return .tensor(try x.quantile(quantiles, dim, keepdim: keepdim, interpolation))
    },
    TensorOperation(
      "bincount", "How often each whole number from 0 on is there, or the sums of weights for each.", Take.input,
      Take.optionalTensor("weights"),
      Take.integer("minlength", default: 0),
      samples: [[.integers([6], 0...4)], [.integers([3], 0...2), .absent, .integer(5)]],
      rejects: [[.integers([2, 2], 0...3)], [.integers([3], -3 ... -1)]], differentiable: false, composed: true
    ) { x, weights, least in .tensor(try x.bincount(weights, least)) },
    TensorOperation(
      "unique", "The different elements in order; with return_inverse and return_counts where each went, and how often it is there.",
      Take.input,
      Take.flag("sorted", default: true), Take.flag("return_inverse", default: false), Take.flag("return_counts", default: false),
      samples: [
        [.integers([2, 4], 0...3)], [.integers([7], -2...2), .flag(true), .flag(true), .flag(true)], [.integers([0], 0...1)],
      ], differentiable: false
    ) { x, _, inverse, counts in different(try x.unique(consecutive: false, inverse: inverse, counts: counts)) },
    TensorOperation(
      "unique_consecutive", "The elements without those that equal their predecessor.", Take.input,
      Take.flag("return_inverse", default: false),
      Take.flag("return_counts", default: false),
      samples: [[.integers([2, 4], 0...1)], [.integers([7], 0...1), .flag(true), .flag(true)]], differentiable: false
    ) { x, inverse, counts in different(try x.unique(consecutive: true, inverse: inverse, counts: counts)) },
    TensorOperation(
      "isin", "Where elements are among test_elements.", Take.tensor("elements"), Take.tensor("test_elements"),
      Take.flag("assume_unique", default: false), Take.flag("invert", default: false), forms: .function,
      samples: [
        [.integers([2, 4], 0...6), .integers([3], 0...6)], [.integers([4], 0...3), .integers([2], 0...3), .flag(false), .flag(true)],
      ],
      differentiable: false
    ) { x, others, _, invert in .tensor(try x.isin(others, invert: invert)) },
    TensorOperation(
      "searchsorted", "Where values would stand in a sorted sequence: how many of it are less, or with right not greater.",
      Take.tensor("sorted_sequence"), Take.operand("values"), Take.flag("right", default: false), forms: .function,
      samples: [
        [.values([4], [-1, 0, 0.5, 2]), .float(2, 3)], [.values([4], [-1, 0, 0, 2]), .values([3], [0, -3, 2]), .absent],
        [.values([2, 2], [-1, 1, 0, 1]), .float(2, 3)], [.values([3], [-1, 0, 1]), .number(0.5)],
      ], rejects: [[.float(2, 3), .float(3, 2)]], differentiable: false, batching: .places(bounds: 0)
    ) { sorted, values, right in
      .tensor(try Tensor.searchsorted(sorted, values.asTensor, right: right, "searchsorted"))
    },
    TensorOperation(
      "bucketize", "In which interval between boundaries each element lies.", Take.input, Take.tensor("boundaries"),
      Take.flag("right", default: false), forms: .function,
      samples: [[.float(2, 3), .values([3], [-1, 0, 1])], [.values([3], [0, 1, -1]), .values([3], [-1, 0, 1])]], differentiable: false,
      batching: .places(bounds: 1)
    ) { x, boundaries, right in
      guard boundaries.rank == 1 else {
        throw TensorError(.shape, "bucketize", "the boundaries must be a vector, got shape \(boundaries.shape)")
      }
      return .tensor(try Tensor.searchsorted(boundaries, x, right: right, "bucketize"))
    },
    TensorOperation(
      "histc", "How many elements lie in each of some intervals of equal width.", Take.input, Take.integer("bins", default: 100),
      Take.number("min", default: 0), Take.number("max", default: 0),
      samples: [[.float(20), .integer(4), .number(-1.5), .number(1.5)], [.float(9), .integer(3)]],
      rejects: [[.float(3), .integer(0)], [.float(3), .integer(2), .number(1), .number(0)]], differentiable: false
    ) { x, bins, low, high in .tensor(try x.histc(bins, low, high)) },
    TensorOperation(
      "nansum", "The sum of the elements that are not NaN.", Take.input, Take.dims, Take.keepdim, Take.dtype,
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]], rejects: beyond
    ) { x, dims, keepdim, dtype in .tensor(try x.asked(dtype).nansum(dims, keepdim: keepdim)) },
    TensorOperation(
      "nanmean", "The mean of the elements that are not NaN.", Take.input, Take.dims, Take.keepdim, Take.dtype,
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]], rejects: beyond, composed: true
    ) { x, dims, keepdim, dtype in
      let x = try x.asked(dtype)
      try x.requireFloating("nanmean")
      return .tensor(
        try Formula.of([x], "NanmeanBackward0", ["self": .input(0)]) { inputs in
          let counted = try Predicate.isnan(inputs[0]).logicalNot().to(inputs[0].dtype).sum(dims, keepdim: keepdim)
          return try inputs[0].nansum(dims, keepdim: keepdim) / counted
        })
    },
    TensorOperation(
      "diff", "The n-th differences of neighbours along a dimension.", Take.input, Take.integer("n", default: 1),
      Take.dimension("dim", default: -1),
      samples: [[.float(2, 4)], [.float(4, 2), .integer(2), .integer(0)], [.float(3), .integer(5)]], rejects: [[.float(2), .integer(-1)]],
      composed: true
    ) { x, n, dim in .tensor(try x.diff(n, dim)) },
    TensorOperation(
      "dist", "The p-norm of the difference.", Take.input, Take.tensor("other"), Take.number("p", default: 2),
      samples: [[.float(2, 3), .float(2, 3)], [.float(2, 3), .float(3), .number(1)]], rejects: [[.float(2, 3), .float(2)]], composed: true
    ) { x, other, p in .tensor(try (x - other).norm(p)) },
    TensorOperation(
      "cov", "The covariances of rows, divided by n − correction.", Take.input, Take.integer("correction", default: 1), forms: .both,
      samples: [[.float(3, 5)], [.float(2, 4), .integer(0)], [.float(5)]], rejects: [[.float(2, 2, 2)]], composed: true
    ) { x, correction in .tensor(try x.cov(correction)) },
    TensorOperation(
      "corrcoef", "The correlation coefficients of rows.", Take.input, samples: [[.float(3, 5)]], composed: true
    ) { x in .tensor(try x.corrcoef()) },
    TensorOperation(
      "trapezoid", "The area under points along a dimension by trapezoids.", Take.tensor("y"), Take.optionalTensor("x"),
      Take.number("dx", default: 1), Take.dimension("dim", default: -1), aliases: ["trapz"], forms: .function,
      samples: [[.float(2, 4)], [.float(2, 4), .values([4], [0, 1, 1.5, 3])], [.float(4, 2), .absent, .number(0.5), .integer(0)]],
      composed: true, batching: .ofOne
    ) { y, x, dx, dim in .tensor(try y.trapezoid(x, dx, dim)) },
    TensorOperation(
      "cumulative_trapezoid", "The running areas under points along a dimension by trapezoids.", Take.tensor("y"),
      Take.optionalTensor("x"), Take.number("dx", default: 1), Take.dimension("dim", default: -1), forms: .function,
      samples: [
        [.float(2, 4)], [.float(2, 4), .values([4], [0, 1, 1.5, 3])], [.float(4, 2), .absent, .number(0.5), .integer(0)], [.float(1)],
      ], rejects: [[.float()], [.float(2, 3), .float(2)]], composed: true, batching: .ofOne
    ) { y, x, dx, dim in .tensor(try y.cumulativeTrapezoid(x, dx, dim)) },
    TensorOperation(
      "histogram", "How many elements lie in each of some bins, or between given edges, and the edges; with density their densities.",
      Take.input, Take.operand("bins"), Take.optionalNumbers("range"), Take.flag("density", default: false),
      rejects: [
        [.float(3), .integer(0)], [.float(3), .integer(2), .list([3, 1])], [.integers([3], 0...4), .integer(2)], [.float(3), .float(1)],
      ], differentiable: false
    ) { x, bins, range, density in
      let (counts, edges) = try x.histogram(bins, range, density: density)
      return .several([.tensor(counts), .tensor(edges)])
    },
    TensorOperation(
      "gradient",
      "The derivatives along dimensions of a function known at points: at a distance, at distances by dimension, or at places by dimension.",
      Take.input, Take.optionalNumbers("spacing"), Take.optionalDimensions("dim"), Take.integer("edge_order", default: 1), forms: .function,
      samples: [
        [.float(2, 4)], [.float(5), .number(0.5), .absent, .integer(2)], [.float(3, 4), .list([2, 3])],
        [.float(3, 4), .number(2), .list([1])], [.float(5), .tensors([.values([5], [0, 1, 1.5, 3, 3.25])])],
        [.float(2, 4), .tensors([.values([4], [0, 2, 4, 7])]), .list([1]), .integer(2)], [.integers([4], 0...9)],
      ],
      rejects: [
        [.float(1)], [.float(2), .absent, .absent, .integer(2)], [.float(3), .absent, .absent, .integer(3)],
        [.float(3, 3), .list([1, 2, 3])],
        [.float(3, 3), .absent, .list([0, 0])], [.booleans([3])],
      ], composed: true, batching: .loop
    ) { x, spacing, dim, order in .list(try x.gradients(spacing, dim, order)) },
    TensorOperation(
      "vander", "The powers of a vector's elements as rows, from N − 1 down to 0, or rising.", Take.input, Take.optionalInteger("N"),
      Take.flag("increasing", default: false), forms: .function,
      samples: [[.float(3)], [.float(3), .integer(2)], [.float(3), .integer(4), .flag(true)], [.integers([3], 1...4)]],
      rejects: [[.float(2, 2)], [.float(2), .integer(-1)]], composed: true, batching: .trailing
    ) { x, columns, increasing in .tensor(try x.vander(columns, increasing: increasing)) },
    TensorOperation(
      "msort", "The elements in order along the first dimension.", Take.input, samples: [[.float(4, 2)]], composed: true
    ) { x in .tensor(try x.sort(0).values) },
  ]

  private static func different(_ found: (values: Tensor, inverse: Tensor?, counts: Tensor?)) -> Output {
    if found.inverse == nil, found.counts == nil { return .tensor(found.values) }
    return .several([.tensor(found.values)] + (found.inverse.map { [.indices($0)] } ?? []) + (found.counts.map { [.tensor($0)] } ?? []))
  }

  private static func running(
    _ name: String, _ summary: String, _ body: @escaping @Sendable (Tensor, Int) throws -> (values: Tensor, indices: Tensor)
  ) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, Take.dim,
      samples: [
        [.float(2, 4), .integer(1)], [.float(4, 2), .integer(0)], [.values([5], [1, 3, 3, 2, 4]), .integer(0)], [.float(), .integer(0)],
      ],
      rejects: beyond
    ) { x, dim in
      let (values, indices) = try body(x, dim)
      return .several([.tensor(values), .indices(indices)])
    }
  }
}
