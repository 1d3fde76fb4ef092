// Reductions over some dimensions or all of them, and running sums.

import CKernels
import Glibc

/// A tensor seen by a reduction: the reduced dimensions as one, in the middle.
struct ReductionPlan {
  let outer, length, inner: Int
  let source: Tensor
  /// The result's shape without and with the reduced dimensions.
  let shape: Shape
  let kept: Shape

  /// Arranges `x` so that kernels, which read [outer, length, inner], can reduce `axes` (sorted).
  init(_ x: Tensor, _ axes: Axes, keepdim: Bool) throws {
    kept = x.shape.removing(axes, keeping: true)
    shape = keepdim ? kept : x.shape.removing(axes, keeping: false)
    var count = 1
    for axis in axes { count *= x.shape[axis] }
    length = count
    if axes.count == x.rank {
      source = try x.packed()
      (outer, inner) = (1, 1)
    } else if axes.isEmpty || axes[axes.count - 1] - axes[0] == axes.count - 1 {
      source = try x.packed()
      let first = axes.first ?? x.rank
      outer = x.shape.count(0..<first)
      inner = x.shape.count((axes.last ?? x.rank - 1) + 1..<x.rank)
    } else {
      let rest = Axes((0..<x.rank).lazy.filter { !axes.contains($0) })
      let arranged = Tensor(storage: x.storage, layout: x.layout.permuted(Array(rest) + Array(axes)), dtype: x.dtype)
      source = try arranged.packed()
      outer = rest.reduce(1) { $0 * x.shape[$1] }
      inner = 1
    }
  }

  var span: Extent { Extent(outer, length, inner) }

  func result(_ dtype: DType) throws -> Tensor { try Tensor(uninitialized: shape, dtype) }
}

extension Shape {
  /// The product of some sizes.
  func count(_ dimensions: Range<Int>) -> Int {
    var product = 1
    for dimension in dimensions { product *= self[dimension] }
    return product
  }
}

/// Which dimensions a reduction goes over, as its node keeps it.
struct Reduced: Sendable {
  let dim: Axes
  let keepdim: Bool
  let from: Shape

  /// The result's shape with the reduced dimensions as ones.
  var kept: Shape { from.removing(dim, keeping: true) }
}

extension Tensor {
  /// Stretches a reduction's gradient (or result) back over the reduced dimensions.
  func restored(_ reduced: Reduced) throws -> Tensor { try reshape(reduced.kept).expand(reduced.from) }

  /// Of elements that expanding repeats along `axes`, one each, and how many times each of them stands there: what is reduced need
  /// not be written out first, which for an expanded tensor may be more than there is room for.
  private func distinct(along axes: Axes) -> (tensor: Tensor, times: Int) {
    if isContiguous { return (self, 1) }
    var shape = shape
    var times = 1
    for axis in axes where layout.strides[axis] == 0 {
      times *= shape[axis]
      shape[axis] = 1
    }
    if times == 1 { return (self, 1) }
    let layout = Layout(shape, strides: layout.strides, offset: layout.offset)
    return (Tensor(storage: storage, layout: layout, dtype: dtype), times)
  }

  /// The reduction of the distinct elements, and how many times each of them stands there.
  private func reduceDistinct(_ op: mg_reduce_op, _ axes: Axes, keepdim: Bool, dtype: DType) throws -> (result: Tensor, times: Int) {
    // Counts may lie outside of the range of a small dtype.
    let (x, times) = dtype.isFloating || dtype == .int64 || op == MG_MAX || op == MG_MIN ? distinct(along: axes) : (self, 1)
    let plan = try ReductionPlan(x.converted(to: dtype), axes, keepdim: keepdim)
    let y = try plan.result(dtype)
    try Kernels.reduce(op, dtype, plan.span, plan.source.data, into: y.data)
    return (y, times)
  }

  private func reduce(_ op: mg_reduce_op, _ axes: Axes, keepdim: Bool, dtype: DType) throws -> Tensor {
    let (y, times) = try reduceDistinct(op, axes, keepdim: keepdim, dtype: dtype)
    if times == 1 { return y }
    switch op {
    case MG_SUM: try Elementwise.binary(MG_MUL, y, dtype.isFloating ? .real(Double(times)) : .integer(Int64(times)), into: y)
    case MG_PROD: try y.raise(to: times)
    default: break
    }
    return y
  }

  /// Raises the elements, in place, by squaring: exact of signs, and of whole numbers that wrap around.
  private func raise(to power: Int) throws {
    let factor = try copied()
    var rest = power - 1
    while rest > 0 {
      if rest & 1 == 1 { try Elementwise.binary(MG_MUL, self, factor, into: self) }
      rest >>= 1
      if rest > 0 { try Elementwise.binary(MG_MUL, factor, factor, into: factor) }
    }
  }

  /// The sum over `dimensions` (all when absent). Whole numbers and bool are summed as int64.
  public func sum(_ dimensions: [Int]? = nil, keepdim: Bool = false, dtype: DType? = nil) throws -> Tensor {
    let axes = try shape.axes(dimensions, "sum")
    let target = dtype ?? (self.dtype.isFloating ? self.dtype : .int64)
    if target != self.dtype, self.dtype.isFloating { return try to(target).sum(dimensions, keepdim: keepdim) }
    return try sum(axes, keepdim: keepdim, dtype: target, isTotal: dimensions == nil)
  }

  func sum(_ axes: Axes, keepdim: Bool) throws -> Tensor { try sum(axes, keepdim: keepdim, dtype: dtype, isTotal: false) }

  fileprivate func sum(_ axes: Axes, keepdim: Bool, dtype: DType, isTotal: Bool) throws -> Tensor {
    try reduce(MG_SUM, axes, keepdim: keepdim, dtype: dtype)
      .recorded(Sum(over: Reduced(dim: axes, keepdim: keepdim, from: shape), dtype: dtype, isTotal: isTotal), self)
  }

  /// The mean over `dimensions` (all when absent), of floats.
  public func mean(_ dimensions: [Int]? = nil, keepdim: Bool = false, dtype: DType? = nil) throws -> Tensor {
    if let dtype, dtype != self.dtype { return try to(dtype).mean(dimensions, keepdim: keepdim) }
    return try mean(shape.axes(dimensions, "mean"), keepdim: keepdim, isTotal: dimensions == nil)
  }

  func mean(_ axes: Axes, keepdim: Bool, isTotal: Bool = false) throws -> Tensor {
    try requireFloating("mean")
    let (y, times) = try reduceDistinct(MG_SUM, axes, keepdim: keepdim, dtype: dtype)
    let mean = Mean(over: Reduced(dim: axes, keepdim: keepdim, from: shape), isTotal: isTotal)
    try Elementwise.binary(MG_DIV, y, .real(mean.count / Double(times)), into: y)
    return try y.recorded(mean, self)
  }

  func requireFloating(_ operation: String) throws {
    guard dtype.isFloating else {
      throw TensorError(.dtype, operation, "a float tensor is needed, this one is \(dtype); convert it, for instance with :float()")
    }
  }

  /// The product over one dimension, or over all elements.
  public func prod(_ dimension: Int? = nil, keepdim: Bool = false) throws -> Tensor {
    let axes = try shape.axes(dimension.map { [$0] }, "prod")
    return try reduce(MG_PROD, axes, keepdim: keepdim, dtype: dtype.isFloating ? dtype : .int64)
      .recorded(Product(over: Reduced(dim: axes, keepdim: keepdim, from: shape), isTotal: dimension == nil), self)
  }

  /// At each position along `axis`, the product of all elements before it.
  fileprivate func productsBefore(_ axis: Int) throws -> Tensor {
    let size = shape[axis]
    guard size > 0 else { return self }
    let ones = try Tensor.ones(shape.replacing(axis, with: 1), dtype: dtype)
    return try Joining.cat([ones, slice(axis, 0, size - 1)], axis).cumprod(axis)
  }

  /// Which of the extremes, and by which operation.
  enum Extreme: String, Sendable {
    case max, min, amax, amin

    fileprivate var kernel: mg_reduce_op { self == .max || self == .amax ? MG_MAX : MG_MIN }
  }

  /// Largest (or smallest) elements; positions whose elements tie share the gradient.
  func extreme(_ extreme: Extreme, _ dimensions: [Int]?, keepdim: Bool) throws -> Tensor {
    let name = extreme.rawValue
    let axes = try shape.axes(dimensions, name)
    for axis in axes where axis < rank && shape[axis] == 0 {
      throw TensorError(.shape, name, "dimension \(index: axis) of shape \(shape) is empty, so nothing is largest or smallest in it")
    }
    return try reduce(extreme.kernel, axes, keepdim: keepdim, dtype: dtype).recorded(
      Extremes(over: Reduced(dim: axes, keepdim: keepdim, from: shape), extreme: extreme, isTotal: dimensions == nil), self)
  }

  /// The largest and the smallest elements over some dimensions, all where none are named; positions that tie share the gradient.
  public func amax(_ dimensions: [Int]? = nil, keepdim: Bool = false) throws -> Tensor { try extreme(.amax, dimensions, keepdim: keepdim) }
  /// The smallest elements over some dimensions; see ``amax(_:keepdim:)``.
  public func amin(_ dimensions: [Int]? = nil, keepdim: Bool = false) throws -> Tensor { try extreme(.amin, dimensions, keepdim: keepdim) }

  /// All elements' maximum and minimum.
  public func max() throws -> Tensor { try extreme(.max, nil, keepdim: false) }
  /// The smallest of all elements.
  public func min() throws -> Tensor { try extreme(.min, nil, keepdim: false) }

  /// Maximum along one dimension with the (first) position of each.
  public func max(_ dimension: Int, keepdim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    try extremeWithIndices(dimension, keepdim: keepdim, .max)
  }

  /// Minimum along one dimension with the (first) position of each.
  public func min(_ dimension: Int, keepdim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    try extremeWithIndices(dimension, keepdim: keepdim, .min)
  }

  private func arg(_ axes: Axes, keepdim: Bool, name: String, largest: Bool) throws -> (Tensor, Tensor) {
    let each = distinct(along: axes).tensor
    let plan = try ReductionPlan(each, axes, keepdim: keepdim)
    guard plan.length > 0 || plan.outer * plan.inner == 0 else {
      throw TensorError(.shape, name, "shape \(shape) is empty where the extreme is asked for")
    }
    let values = try plan.result(dtype)
    let indices = try plan.result(.int64)
    try Kernels.extremes(largest: largest, dtype, plan.span, plan.source.data, into: values.data, indices.data)
    if each !== self {
      // Among the distinct elements, of which the first copies stand at 0 of the dimensions that were left out.
      let list = UnsafeMutableBufferPointer(start: indices.data.assumingMemoryBound(to: Int.self), count: indices.count)
      for position in list.indices { list[position] = place(list[position], among: axes, of: each.shape) }
    }
    return (values, indices)
  }

  /// Where an element stands among those of `axes` of this tensor, by its number among those of a smaller shape.
  private func place(_ number: Int, among axes: Axes, of smaller: Shape) -> Int {
    var (rest, place, step) = (number, 0, 1)
    for axis in axes.reversed() {
      place += rest % smaller[axis] * step
      rest /= smaller[axis]
      step *= shape[axis]
    }
    return place
  }

  private func extremeWithIndices(
    _ dimension: Int, keepdim: Bool, _ extreme: Extreme
  ) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, extreme.rawValue)
    let (values, indices) = try arg(
      rank == 0 ? [] : [axis], keepdim: keepdim, name: extreme.rawValue, largest: extreme == .max)
    return (try recordPick(values, indices, axis, keepdim: keepdim, extreme == .max ? .max : .min), indices)
  }

  /// Position of the largest element along a dimension, or among all elements in row-major order.
  public func argmax(_ dimension: Int? = nil, keepdim: Bool = false) throws -> Tensor {
    try argExtreme(dimension, keepdim: keepdim, "argmax", largest: true)
  }

  /// Position of the smallest element along a dimension, or among all elements in row-major order.
  public func argmin(_ dimension: Int? = nil, keepdim: Bool = false) throws -> Tensor {
    try argExtreme(dimension, keepdim: keepdim, "argmin", largest: false)
  }

  private func argExtreme(_ dimension: Int?, keepdim: Bool, _ name: String, largest: Bool) throws -> Tensor {
    let axes = rank == 0 ? [] : try shape.axes(dimension.map { [$0] }, name)
    if rank == 0, let dimension { _ = try shape.axis(dimension, name) }
    return try arg(axes, keepdim: keepdim, name: name, largest: largest).1
  }

  /// The variance over `dimensions`, with n − correction in the denominator.
  public func variance(_ dimensions: [Int]? = nil, correction: Double = 1, keepdim: Bool = false) throws -> Tensor {
    try requireFloating("var")
    let axes = try shape.axes(dimensions, "var")
    let (x, times) = distinct(along: axes)
    let plan = try ReductionPlan(x, axes, keepdim: keepdim)
    let y = try plan.result(dtype)
    try Kernels.squaredDeviations(dtype, plan.span, plan.source.data, into: y.data)
    let variance = Variance(over: Reduced(dim: axes, keepdim: keepdim, from: shape), correction: correction)
    try Elementwise.binary(MG_DIV, y, .real(variance.divisor / Double(times)), into: y)
    return try y.recorded(variance, self)
  }

  /// The square root of the variance.
  public func std(_ dimensions: [Int]? = nil, correction: Double = 1, keepdim: Bool = false) throws -> Tensor {
    let axes = try shape.axes(dimensions, "std")
    let y = try withNoGrad { try variance(dimensions, correction: correction, keepdim: keepdim) }
    try Elementwise.unary(MG_SQRT, y, into: y)
    let over = Reduced(dim: axes, keepdim: keepdim, from: shape)
    return try y.recorded(Deviation(variance: Variance(over: over, correction: correction)), self)
  }

  /// (Σ|x|^p)^(1/p) over `dimensions`.
  public func norm(_ p: Double = 2, _ dimensions: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    try requireFloating("norm")
    let axes = try shape.axes(dimensions, "norm")
    let (x, times) = distinct(along: axes)
    let plan = try ReductionPlan(x, axes, keepdim: keepdim)
    guard plan.length > 0 || (p.isFinite && p >= 0) else {
      throw TensorError(.shape, "norm", "the norm of order \(p) of no elements (shape \(shape)) does not exist")
    }
    let y = try plan.result(dtype)
    try Kernels.norm(p, dtype, plan.span, plan.source.data, into: y.data)
    if times > 1, p.isFinite {
      try Elementwise.binary(MG_MUL, y, .real(p == 0 ? Double(times) : Glibc.pow(Double(times), 1 / p)), into: y)
    }
    return try y.recorded(Norm(over: Reduced(dim: axes, keepdim: keepdim, from: shape), ord: p), self)
  }

  /// ln Σ e^x over `dimensions`, without overflow.
  public func logsumexp(_ dimensions: [Int], keepdim: Bool = false) throws -> Tensor {
    let x = dtype.isFloating ? self : try to(DType.defaultFloating)
    let axes = try shape.axes(dimensions, "logsumexp")
    let (each, times) = x.distinct(along: axes)
    let plan = try ReductionPlan(each, axes, keepdim: keepdim)
    let y = try plan.result(x.dtype)
    try Kernels.logSumExp(x.dtype, plan.span, plan.source.data, into: y.data)
    if times > 1 { try Elementwise.binary(MG_ADD, y, .real(Glibc.log(Double(times))), into: y) }
    return try y.recorded(LogSumExp(over: Reduced(dim: axes, keepdim: keepdim, from: shape)), x)
  }

  /// Whether any, or all, elements are nonzero, over `dimensions`.
  public func any(_ dimensions: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    let axes = try shape.axes(dimensions, "any")
    let plan = try ReductionPlan(distinct(along: axes).tensor, axes, keepdim: keepdim)
    let y = try plan.result(.bool)
    try Kernels.anyOrAll(all: false, dtype, plan.span, plan.source.data, into: y.data)
    return y
  }

  /// Whether all elements are nonzero, over `dimensions`; true of no elements.
  public func all(_ dimensions: [Int]? = nil, keepdim: Bool = false) throws -> Tensor {
    let axes = try shape.axes(dimensions, "all")
    let plan = try ReductionPlan(distinct(along: axes).tensor, axes, keepdim: keepdim)
    let y = try plan.result(.bool)
    try Kernels.anyOrAll(all: true, dtype, plan.span, plan.source.data, into: y.data)
    return y
  }

  /// Running sums along a dimension.
  public func cumsum(_ dimension: Int) throws -> Tensor { try cumsum(dimension, reverse: false) }

  fileprivate func cumsum(_ dimension: Int, reverse: Bool) throws -> Tensor {
    let axis = try shape.axis(dimension, "cumsum")
    let x = dtype.isFloating ? self : try to(.int64)
    let plan = try ReductionPlan(x, rank == 0 ? [] : [axis], keepdim: true)
    let y = try Tensor(uninitialized: shape, x.dtype)
    try Kernels.runningSum(reverse: reverse, x.dtype, plan.span, plan.source.data, into: y.data)
    return try y.recorded(RunningSum(dim: axis, reverse: reverse), x)
  }

  /// Running products along a dimension.
  public func cumprod(_ dimension: Int) throws -> Tensor {
    let axis = try shape.axis(dimension, "cumprod")
    let x = dtype.isFloating ? self : try to(.int64)
    let plan = try ReductionPlan(x, rank == 0 ? [] : [axis], keepdim: true)
    let y = try Tensor(uninitialized: shape, x.dtype)
    try Kernels.runningProduct(x.dtype, plan.span, plan.source.data, into: y.data)
    return try y.recorded(RunningProduct(dim: axis), x)
  }
}

// MARK: On the tape

/// An operation over dimensions: scripts see `saved_dim` and `saved_keepdim`.
private protocol OverDimensions: Operation {
  var over: Reduced { get }
}

extension OverDimensions {
  fileprivate func attribute(_ name: String) -> Any? {
    Mirror(reflecting: over).children.first { $0.label == name }?.value
      ?? Mirror(reflecting: self).children.first { $0.label == name }?.value
  }

  fileprivate func dimensions(_ isTotal: Bool) -> [Int]? { isTotal ? nil : Array(over.dim) }
}

private struct Sum: OverDimensions {
  let over: Reduced
  let dtype: DType
  let isTotal: Bool

  var tangentRule: TangentRule { .linear }
  var nodeName: String { isTotal ? "SumBackward0" : "SumBackward1" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.restored(over) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].sum(over.dim, keepdim: over.keepdim, dtype: dtype, isTotal: isTotal)]
  }
}

private struct Mean: OverDimensions {
  let over: Reduced
  let isTotal: Bool

  var tangentRule: TangentRule { .linear }
  var nodeName: String { isTotal ? "MeanBackward0" : "MeanBackward1" }
  var count: Double { Double(over.dim.reduce(1) { $0 * over.from[$1] }) }
  func gradient(_ c: inout Backward) throws { c[0] = try (c.g / count).restored(over) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].mean(over.dim, keepdim: over.keepdim, isTotal: isTotal)] }
}

private struct Product: OverDimensions {
  let over: Reduced
  let isTotal: Bool

  var nodeName: String { isTotal ? "ProdBackward0" : "ProdBackward1" }
  func uses(_ number: Int) -> Uses { .a }

  func gradient(_ c: inout Backward) throws {
    // The product of the others: from the left times from the right, so that zeros need no division.
    let x = try isTotal ? c.a.reshape([-1]) : c.a
    let axis = isTotal ? 0 : over.dim.first ?? 0
    let others =
      x.rank == 0 ? try Tensor.ones([], dtype: x.dtype) : try x.productsBefore(axis) * x.flip([axis]).productsBefore(axis).flip([axis])
    c[0] = try c.g.restored(over) * others.reshape(over.from)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].prod(isTotal ? nil : over.dim.first ?? 0, keepdim: over.keepdim)]
  }
}

private struct Extremes: OverDimensions {
  let over: Reduced
  let extreme: Tensor.Extreme
  let isTotal: Bool

  var nodeName: String {
    switch extreme {
    case .max: "MaxBackward1"
    case .min: "MinBackward1"
    case .amax: "AmaxBackward0"
    case .amin: "AminBackward0"
    }
  }

  func uses(_ number: Int) -> Uses { [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    let (a, y) = (try c.a.detach(), try c.y.detach().restored(over))
    // Of all elements together, several NaN share the gradient as several largest do.
    let same = try isTotal ? Comparison.or(a.eq(y), Comparison.and(Comparison.ne(a, a), Comparison.ne(y, y))) : a.eq(y)
    let hit = try same.to(c.g.dtype)
    let share = try hit / hit.sum(over.dim, keepdim: true)
    c[0] = try share * c.g.restored(over)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].extreme(extreme, dimensions(isTotal), keepdim: over.keepdim)]
  }
}

private struct Variance: OverDimensions {
  let over: Reduced
  let correction: Double

  var nodeName: String { "VarBackward0" }
  var divisor: Double { Swift.max(Double(over.dim.reduce(1) { $0 * over.from[$1] }) - correction, 0) }
  func uses(_ number: Int) -> Uses { .a }

  func gradient(_ c: inout Backward) throws {
    c[0] = try c.g.restored(over) * ((c.a - c.a.mean(over.dim, keepdim: true)) * (2 / divisor))
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].variance(Array(over.dim), correction: correction, keepdim: over.keepdim)]
  }
}

private struct Deviation: OverDimensions {
  let variance: Variance

  var over: Reduced { variance.over }
  var correction: Double { variance.correction }
  var nodeName: String { "StdBackward0" }
  func attribute(_ name: String) -> Any? { variance.attribute(name) }
  func uses(_ number: Int) -> Uses { [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    let scale = try (c.g / (c.y * variance.divisor)).maskedFill(c.y.eq(0), .real(0))
    c[0] = try scale.restored(over) * (c.a - c.a.mean(over.dim, keepdim: true))
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    [try inputs[0].std(Array(over.dim), correction: correction, keepdim: over.keepdim)]
  }
}

private struct Norm: OverDimensions {
  let over: Reduced
  let ord: Double

  var nodeName: String { "LinalgVectorNormBackward0" }
  func uses(_ number: Int) -> Uses { ord == 0 ? .a : [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a
    let g = try c.g.restored(over)
    if ord == 0 {
      c[0] = try Tensor.zeros(like: x)
      return
    }
    let size = try c.y.restored(over)
    switch ord {
    case 1: c[0] = try g * x.sign()
    case 2: c[0] = try g * (x / size).maskedFill(size.eq(0), .real(0))
    case .infinity, -.infinity:
      let hit = try x.abs().detach().eq(size.detach()).to(x.dtype)
      c[0] = try g * (x.sign() * (hit / hit.sum(over.dim, keepdim: true)))
    default:
      // x·|x|^(p−2) / ‖x‖^(p−1), 0 at the origin; and for p < 1, whose slope there is infinite, at every 0.
      var power = try x.abs().power(ord - 1)
      if ord < 1 { power = try power.maskedFill(x.eq(0), .real(0)) }
      let slope = try x.sign() * power / size.power(ord - 1)
      c[0] = try g * slope.maskedFill(size.eq(0), .real(0))
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].norm(ord, Array(over.dim), keepdim: over.keepdim)] }
}

private struct LogSumExp: OverDimensions {
  let over: Reduced

  var nodeName: String { "LogsumexpBackward0" }
  func uses(_ number: Int) -> Uses { [.a, .output] }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.restored(over) * (c.a - c.y.restored(over)).exp() }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].logsumexp(Array(over.dim), keepdim: over.keepdim)] }
}

private struct RunningSum: Operation {
  let dim: Int
  let reverse: Bool

  var tangentRule: TangentRule { .linear }
  var nodeName: String { "CumsumBackward0" }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g.cumsum(dim, reverse: !reverse) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].cumsum(dim, reverse: reverse)] }
}

private struct RunningProduct: Operation {
  let dim: Int

  var nodeName: String { "CumprodBackward0" }
  func uses(_ number: Int) -> Uses { .a }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a
    guard x.rank > 0 else {
      c[0] = c.g
      return
    }
    // dx[k] = Σ_{i≥k} g[i] · Π_{j≤i, j≠k} x[j]. Built from products without x[k], so zeros need no division.
    let size = x.shape[dim]
    var parts: [Tensor] = []
    for k in 0..<size {
      let before = try x.slice(dim, 0, k)
      let after = try x.slice(dim, k + 1, size)
      let one = try Tensor.ones(x.shape.replacing(dim, with: 1), dtype: x.dtype)
      let lead = k == 0 ? one : try before.prod(dim, keepdim: true)
      let tail = try Joining.cat([one, after], dim).cumprod(dim)
      parts.append(try (c.g.slice(dim, k, size) * tail).sum([dim], keepdim: true) * lead)
    }
    c[0] = parts.isEmpty ? try Tensor.zeros(like: x) : try Joining.cat(parts, dim)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].cumprod(dim)] }
}

enum Reductions {
  private static let optionalDim = Take.optionalDimension("dim")
  private static let unbiased = Take.optionalFlag("unbiased", namedOnly: true)
  private static let samples: [Sample] = [
    [.float(2, 3)], [.float(2, 3, 4), .integer(1)], [.float(2, 3, 4), .list([0, 2])], [.float(2, 3), .integer(-1), .flag(true)], [.float()],
  ]
  private static let beyond: [Sample] = [[.float(2, 3), .integer(2)]]

  static let list: [TensorOperation] = [
    TensorOperation(
      "sum", "The sum over dimensions, or of all elements.", Take.input, Take.dims, Take.keepdim, Take.dtype,
      samples: samples + [[.float(0, 3), .integer(0)], [.integers([2, 3], -5...5)], [.booleans([5])]], rejects: beyond
    ) { x, dims, keepdim, dtype in try .tensor(x.sum(dims, keepdim: keepdim, dtype: dtype)) },
    TensorOperation(
      "mean", "The mean over dimensions, or of all elements.", Take.input, Take.dims, Take.keepdim, Take.dtype,
      samples: samples, rejects: beyond + [[.integers([3], 0...3)]]
    ) { x, dims, keepdim, dtype in try .tensor(x.mean(dims, keepdim: keepdim, dtype: dtype)) },
    TensorOperation(
      "prod", "The product over one dimension, or of all elements.", Take.input, optionalDim, Take.keepdim, Take.dtype,
      samples: [
        [.float(2, 3)], [.float(2, 3), .integer(1)], [.values([4], [1, 0, 2, 3])], [.values([2, 2], [0, 0, 2, 3]), .integer(1)], [.float()],
        [.integers([4], 1...4)],
      ], rejects: beyond
    ) { x, dim, keepdim, dtype in try .tensor(x.asked(dtype).prod(dim, keepdim: keepdim)) },
    extreme("max", "The largest element of all, or along a dimension with its position.", Binary.maximum, largest: true),
    extreme("min", "The smallest element of all, or along a dimension with its position.", Binary.minimum, largest: false),
    TensorOperation(
      "amax", "The largest element over dimensions; ties share the gradient.", Take.input, Take.dims, Take.keepdim,
      samples: samples, rejects: beyond + [[.float(0, 3), .integer(0)]]
    ) { x, dims, keepdim in
      try .tensor(x.extreme(.amax, dims, keepdim: keepdim))
    },
    TensorOperation(
      "amin", "The smallest element over dimensions; ties share the gradient.", Take.input, Take.dims, Take.keepdim,
      samples: samples, rejects: beyond + [[.float(0, 3), .integer(0)]]
    ) { x, dims, keepdim in
      try .tensor(x.extreme(.amin, dims, keepdim: keepdim))
    },
    TensorOperation(
      "argmax", "The position of the largest element along a dimension, or among all elements.", Take.input, optionalDim, Take.keepdim,
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0), .flag(true)]], rejects: beyond + [[.float(0)]],
      differentiable: false
    ) { x, optionalDim, keepdim in try .indices(x.argmax(optionalDim, keepdim: keepdim)) },
    TensorOperation(
      "argmin", "The position of the smallest element along a dimension, or among all elements.", Take.input, optionalDim, Take.keepdim,
      samples: [[.float(2, 3)], [.float(2, 3), .integer(1)]], rejects: beyond + [[.float(0)]], differentiable: false
    ) { x, optionalDim, keepdim in try .indices(x.argmin(optionalDim, keepdim: keepdim)) },
    TensorOperation(
      "var", "The variance over dimensions, divided by n − correction; unbiased = false is a correction of 0.", Take.input, Take.dims,
      Take.number("correction", default: 1), Take.keepdim, unbiased,
      samples: [[.float(2, 3)], [.float(2, 3, 4), .integer(1)], [.float(2, 3, 4), .list([0, 2]), .number(0), .flag(true)]], rejects: beyond
    ) { x, dims, correction, keepdim, unbiased in
      try .tensor(x.variance(dims, correction: unbiased.map { $0 ? 1 : 0 } ?? correction, keepdim: keepdim))
    },
    TensorOperation(
      "std", "The standard deviation over dimensions, divided by n − correction; unbiased = false is a correction of 0.", Take.input,
      Take.dims, Take.number("correction", default: 1), Take.keepdim, unbiased,
      samples: [[.float(2, 3)], [.float(2, 3, 4), .integer(1)], [.float(2, 3), .list([0]), .number(0), .flag(true)]], rejects: beyond
    ) { x, dims, correction, keepdim, unbiased in
      try .tensor(x.std(dims, correction: unbiased.map { $0 ? 1 : 0 } ?? correction, keepdim: keepdim))
    },
    TensorOperation(
      "norm", "(Σ|x|^p)^(1/p) over dimensions; p = \"fro\" is 2.", Take.input, Take.normOrder("p", default: 2), Take.dims, Take.keepdim,
      Take.dtype,
      samples: [
        [.float(2, 3)], [.float(2, 3), .number(1)], [.float(2, 3), .number(3), .integer(1)],
        [.float(2, 3), .number(2), .integer(0), .flag(true)], [.float(2, 3), .number(.infinity)], [.float(2, 3), .text("fro")],
      ], rejects: [[.integers([2], 1...2)]]
    ) { x, p, dims, keepdim, dtype in try .tensor(x.asked(dtype).norm(p, dims, keepdim: keepdim)) },
    TensorOperation(
      "logsumexp", "The logarithm of the sum of exponentials over dimensions, without overflow.", Take.input, Take.dimensions("dim"),
      Take.keepdim,
      samples: [[.float(2, 3), .integer(1)], [.float(2, 3), .list([0, 1])], [.values([2], [1000, 1001]), .integer(0)]], rejects: beyond
    ) { x, dim, keepdim in try .tensor(x.logsumexp(dim, keepdim: keepdim)) },
    TensorOperation(
      "any", "Whether any element is nonzero, over dimensions.", Take.input, Take.dims, Take.keepdim,
      samples: [[.booleans([2, 3])], [.integers([2, 3], 0...1), .integer(1)], [.booleans([0])]], differentiable: false
    ) { x, dims, keepdim in try .tensor(x.any(dims, keepdim: keepdim)) },
    TensorOperation(
      "all", "Whether all elements are nonzero, over dimensions.", Take.input, Take.dims, Take.keepdim,
      samples: [[.booleans([2, 3])], [.integers([2, 3], 0...1), .integer(1)], [.booleans([0])]], differentiable: false
    ) { x, dims, keepdim in try .tensor(x.all(dims, keepdim: keepdim)) },
    TensorOperation(
      "cumsum", "Running sums along a dimension.", Take.input, Take.dim, Take.dtype, forms: .all,
      samples: [[.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.integers([4], 1...4), .integer(0)]], rejects: beyond
    ) { x, dim, dtype in try .tensor(x.asked(dtype).cumsum(dim)) },
    TensorOperation(
      "cumprod", "Running products along a dimension.", Take.input, Take.dim, Take.dtype, forms: .all,
      samples: [[.float(2, 3), .integer(1)], [.float(2, 3), .integer(0)], [.values([4], [1, 0, 2, 3]), .integer(0)]], rejects: beyond
    ) { x, dim, dtype in try .tensor(x.asked(dtype).cumprod(dim)) },
  ]

  /// `max` and `min`: of all, along a dimension, or of two tensors.
  private static func extreme(_ name: String, _ summary: String, _ pairwise: Binary, largest: Bool) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, Take.dimensionOrTensor("dim"), Take.keepdim,
      samples: [
        [.float(2, 3)], [.values([4], [2, 1, 2, 0])], [.float(2, 3), .integer(1)], [.float(2, 3), .integer(0), .flag(true)], [.float()],
      ],
      rejects: beyond + [[.float(0)]], batching: .extreme(largest ? .amax : .amin)
    ) { x, what, keepdim in
      switch what {
      case nil: return .tensor(try largest ? x.max() : x.min())
      case .tensor(let other): return .tensor(try pairwise(x, other))
      case .dimension(let dimension):
        let (values, indices) = try largest ? x.max(dimension, keepdim: keepdim) : x.min(dimension, keepdim: keepdim)
        return .several([.tensor(values), .indices(indices)])
      }
    }
  }
}
