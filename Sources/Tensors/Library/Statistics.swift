// What is counted, ordered and summed over tensors, beyond the reductions that have rules of their own.

import CKernels

extension Tensor {
  /// The largest (or smallest) element so far along a dimension and its position; of equal ones the last, and NaN from the
  /// first one on.
  public func cummax(_ dimension: Int) throws -> (values: Tensor, indices: Tensor) { try runningExtreme(dimension, "cummax") }
  public func cummin(_ dimension: Int) throws -> (values: Tensor, indices: Tensor) { try runningExtreme(dimension, "cummin") }

  private func runningExtreme(_ dimension: Int, _ name: String) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, name)
    let extent = rank == 0 ? (1, 1, 1) : (shape.count(0..<axis), shape[axis], shape.count(axis + 1..<rank))
    let (x, values) = (try packed(), try Tensor(uninitialized: shape, dtype))
    let indices = try Tensor(uninitialized: shape, .int64)
    // Of rows without elements there may be any number.
    if count > 0 {
      try (name == "cummax" ? Tensor.cummaxKernel : Tensor.cumminKernel)(
        dtype, .read(x.data, dtype, count), .write(values.data, dtype, count), .write(indices.data, .int64, count),
        sizes: (extent.0, extent.1, extent.2, 0))
    }
    return (try values.recorded(RunningExtreme(isLargest: name == "cummax", dim: axis, from: shape), self, own: indices), indices)
  }

  private static let cummaxKernel = NamedKernel("cummax")
  private static let cumminKernel = NamedKernel("cummin")

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

  /// The different elements: in order, or as they come where only neighbours count as equal; with where each element's value
  /// went, and how often each is there.
  func unique(consecutive: Bool) throws -> (values: Tensor, inverse: Tensor, counts: Tensor) {
    try withNoGrad {
      let flat = try detach().reshape([-1])
      let (sorted, order) = consecutive ? (flat, try Tensor.arange(.integer(0), .integer(Int64(count)), .integer(1))) : try flat.sort(0)
      guard count > 0 else { return (flat, try reshape(shape).to(.int64), try Tensor.zeros([0], dtype: .int64)) }
      // An element starts a run where it differs from the one before; NaN does always.
      let starts = try Joining.cat(
        [Tensor.filled([1], .boolean(true), dtype: .bool), Comparison.ne(sorted.narrow(0, 1, count - 1), sorted.narrow(0, 0, count - 1))], 0
      )
      let number = try Binary.sub(starts.to(.int64).cumsum(0), .integer(1))
      let values = try sorted.maskedSelect(starts)
      let inverse = try Tensor.zeros([count], dtype: .int64).scatter(0, order, number)
      let counts = try Tensor.zeros(values.shape, dtype: .int64).indexAdd(0, number, Tensor.ones([count], dtype: .int64))
      return (values, try inverse.reshape(shape), counts)
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
    let wide: DType = common.isFloating ? .float64 : .int64
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
    let y = try centered.mm(centered.t()) / Double(Swift.max(x.shape[1] - correction, 0))
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
    var widths = try x.diff(1, -1)
    if x.rank == 1 {
      var sizes = [Int](repeating: 1, count: rank)
      sizes[axis] = widths.count
      widths = try widths.reshape(sizes)
    }
    return try (sums * widths).sum([axis]) / 2.0
  }
}

/// Running extremes, and the positions that they came from, by which gradients go back.
private struct RunningExtreme: Operation {
  let isLargest: Bool
  let dim: Int
  let from: Shape

  var nodeName: String { isLargest ? "CummaxBackward0" : "CumminBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .own(0)] }
  func uses(_ number: Int) -> Uses { from.rank == 0 ? .nothing : .own }

  func gradient(_ c: inout Backward) throws {
    c[0] = try from.rank == 0 ? c.g : Tensor.zeros(like: c.g).scatterAdd(dim, c.own, c.g)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try isLargest ? inputs[0].cummax(dim).values : inputs[0].cummin(dim).values] }
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
      Take.text("interpolation", default: "linear"),
      samples: [
        [.float(2, 5), .number(0.3)], [.float(2, 5), .number(0.5), .integer(1)], [.float(2, 5), .float([2], 0.1...0.9), .integer(1)],
        [.float(5, 2), .number(0.6), .integer(0), .flag(true)],
        [.float(2, 5), .number(0.3), .integer(1), .flag(false), .text("lower")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("midpoint")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("higher")],
        [.float(6), .number(0.35), .absent, .flag(false), .text("nearest")],
      ], rejects: [[.float(3), .number(1.5)], [.float(0), .number(0.5)]], composed: true
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
    ) { x, _, inverse, counts in different(try x.unique(consecutive: false), inverse, counts) },
    TensorOperation(
      "unique_consecutive", "The elements without those that equal their predecessor.", Take.input,
      Take.flag("return_inverse", default: false),
      Take.flag("return_counts", default: false),
      samples: [[.integers([2, 4], 0...1)], [.integers([7], 0...1), .flag(true), .flag(true)]], differentiable: false
    ) { x, inverse, counts in different(try x.unique(consecutive: true), inverse, counts) },
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
      ], rejects: [[.float(2, 3), .float(3, 2)]], differentiable: false
    ) { sorted, values, right in
      .tensor(try Tensor.searchsorted(sorted, values.asTensor, right: right, "searchsorted"))
    },
    TensorOperation(
      "bucketize", "In which interval between boundaries each element lies.", Take.input, Take.tensor("boundaries"),
      Take.flag("right", default: false), forms: .function,
      samples: [[.float(2, 3), .values([3], [-1, 0, 1])], [.values([3], [0, 1, -1]), .values([3], [-1, 0, 1])]], differentiable: false
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
      composed: true
    ) { y, x, dx, dim in .tensor(try y.trapezoid(x, dx, dim)) },
    TensorOperation(
      "msort", "The elements in order along the first dimension.", Take.input, samples: [[.float(4, 2)]], composed: true
    ) { x in .tensor(try x.sort(0).values) },
  ]

  private static func different(_ found: (values: Tensor, inverse: Tensor, counts: Tensor), _ inverse: Bool, _ counts: Bool) -> Output {
    guard inverse || counts else { return .tensor(found.values) }
    return .several([.tensor(found.values)] + (inverse ? [.indices(found.inverse)] : []) + (counts ? [.tensor(found.counts)] : []))
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
