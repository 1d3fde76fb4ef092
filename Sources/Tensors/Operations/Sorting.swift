// Order: sorting, the largest few, the middle.

extension Tensor {
  /// Elements in order along a dimension (stable), and where each came from.
  public func sort(_ dimension: Int = -1, descending: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, "sort")
    guard rank > 0 else { return (try clone(), try Tensor.zeros([], dtype: .int64)) }
    let arranged = try Tensor(storage: storage, layout: movedToEnd(axis), dtype: dtype).packed()
    let n = shape[axis]
    let rows = n == 0 ? 0 : count / n
    let values = try Tensor(uninitialized: arranged.shape, dtype)
    let indices = try Tensor(uninitialized: arranged.shape, .int64)
    let threads = Kernels.Lanes.count(rows: rows, n)
    let scratch = try Tensor(uninitialized: [2 * n * threads], .int64)
    try Kernels.sort(
      descending: descending, dtype, rows: rows, n, arranged.data, into: values.data, indices.data,
      Kernels.Lanes(count: threads, scratch: scratch.data, words: scratch.count))
    let sorted = try values.movedFromEnd(axis)
    let order = try indices.movedFromEnd(axis)
    return (try recordPick(sorted, order, axis, keepdim: true, .sort(descending: descending)), order)
  }

  private func movedToEnd(_ axis: Int) -> Layout {
    if axis == rank - 1 { return layout }
    var order = Array(0..<rank)
    order.append(order.remove(at: axis))
    return layout.permuted(order)
  }

  private func movedFromEnd(_ axis: Int) throws -> Tensor {
    if axis == rank - 1 { return self }
    var order = Array(0..<rank - 1)
    order.insert(rank - 1, at: axis)
    return try Tensor(storage: storage, layout: layout.permuted(order), dtype: dtype).packed()
  }

  /// The k largest (or smallest) elements along a dimension in order, and their positions.
  public func topk(_ k: Int, _ dimension: Int = -1, largest: Bool = true) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, "topk")
    let size = rank == 0 ? 1 : shape[axis]
    guard k >= 0, k <= size else {
      throw TensorError(.argument, "topk", "k = \(k) is not between 0 and the size \(size) of dimension \(index: axis)")
    }
    guard rank > 0 else { return try onlyElement(.topk(k, largest: largest)) }
    let (top, places) = try selected(axis, Tensor.topkKernel, k, places: k, flag: largest)
    return (try recordPick(top, places, axis, keepdim: true, .topk(k, largest: largest)), places)
  }

  /// What is picked of one element.
  private func onlyElement(_ pick: Pick) throws -> (values: Tensor, indices: Tensor) {
    let place = try Tensor.zeros([], dtype: .int64)
    return (try recordPick(copied(), place, 0, keepdim: true, pick), place)
  }

  private static let (topkKernel, kthKernel) = (NamedKernel("topk"), NamedKernel("kth"))

  /// What a kernel selects from rows along `axis`, which stays with so many places.
  private func selected(_ axis: Int, _ kernel: NamedKernel, _ k: Int, places: Int, flag: Bool) throws -> (Tensor, Tensor) {
    let arranged = try Tensor(storage: storage, layout: movedToEnd(axis), dtype: dtype).packed()
    let n = shape[axis]
    let values = try Tensor(uninitialized: arranged.shape.replacing(rank - 1, with: places), dtype)
    let indices = try Tensor(uninitialized: values.shape, .int64)
    let threads = Kernels.Lanes.count(rows: n == 0 ? 0 : count / n, n)
    let scratch = try Tensor(uninitialized: [2 * n * threads], .int64)
    let lanes = Kernels.Lanes(count: threads, scratch: scratch.data, words: scratch.count)
    try kernel(
      dtype, .read(arranged.data, dtype, count), .write(values.data, dtype, values.count), .write(indices.data, .int64, values.count),
      lanes.operand, sizes: (n, k, lanes.count, flag ? 1 : 0))
    return (try values.movedFromEnd(axis), try indices.movedFromEnd(axis))
  }

  /// The k-th smallest element (from 1) along a dimension and its position.
  public func kthvalue(_ k: Int, _ dimension: Int = -1, keepdim: Bool = false) throws -> (
    values: Tensor, indices: Tensor
  ) {
    let axis = try shape.axis(dimension, "kthvalue")
    let size = rank == 0 ? 1 : shape[axis]
    guard k >= 1, k <= size else {
      throw TensorError(.argument, "kthvalue", "k = \(k) is not between 1 and the size \(size) of dimension \(index: axis)")
    }
    return try kth(k, axis, keepdim: keepdim, .kthvalue(k), nanFirst: false)
  }

  /// The lower median along a dimension and its position. NaN, where there is one, is the median: the first in its row.
  public func median(_ dimension: Int, keepdim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, "median")
    let size = rank == 0 ? 1 : shape[axis]
    guard size > 0 else { throw TensorError(.shape, "median", "dimension \(index: axis) of shape \(shape) is empty") }
    return try kth((size + 1) / 2, axis, keepdim: keepdim, .median, nanFirst: dtype.isFloating)
  }

  private func kth(_ k: Int, _ axis: Int, keepdim: Bool, _ pick: Pick, nanFirst: Bool) throws -> (values: Tensor, indices: Tensor) {
    guard rank > 0 else { return try onlyElement(pick) }
    var (values, places) = try selected(axis, Tensor.kthKernel, k - 1, places: 1, flag: nanFirst)
    if !keepdim {
      let layout = Layout(shape.removing([axis], keeping: false))
      values = Tensor(storage: values.storage, layout: layout, dtype: dtype)
      places = Tensor(storage: places.storage, layout: layout, dtype: .int64)
    }
    return (try recordPick(values, places, axis, keepdim: keepdim, pick), places)
  }

  /// The lower median along a dimension of what is not NaN, and its position; NaN where there is nothing else.
  public func nanmedian(_ dimension: Int, keepdim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, "nanmedian")
    guard rank > 0 else { return try pick(axis, keepdim: true, .nanmedian) { _, _ in try Tensor.zeros([1], dtype: .int64) } }
    guard shape[axis] > 0 else {
      throw TensorError(.shape, "nanmedian", "dimension \(index: axis) of shape \(shape) is empty")
    }
    return try pick(axis, keepdim: keepdim, .nanmedian) { sorted, axis in
      // NaN are sorted to the end.
      let wanted = try Predicate.isnan(sorted).logicalNot().sum([axis], keepdim: true, dtype: .int64)
      return try Binary.floorDivide(Binary.sub(wanted, .integer(1)).clamp(.integer(0), nil), .integer(2))
    }
  }

  /// The most frequent element along a dimension, the least of several, and its last position. NaN are all different, and greater
  /// than anything else.
  public func mode(_ dimension: Int = -1, keepdim: Bool = false) throws -> (values: Tensor, indices: Tensor) {
    let axis = try shape.axis(dimension, "mode")
    guard rank > 0 else { return try pick(axis, keepdim: true, .mode) { _, _ in try Tensor.zeros([1], dtype: .int64) } }
    let n = shape[axis]
    guard n > 0 else { throw TensorError(.shape, "mode", "dimension \(index: axis) of shape \(shape) is empty") }
    return try pick(axis, keepdim: keepdim, .mode) { sorted, axis in
      // How long the run is that each element stands in, up to it; the first of the longest ends there.
      var sizes = [Int](repeating: 1, count: sorted.rank)
      sizes[axis] = n
      let places = try Tensor.arange(.integer(0), .integer(Int64(n)), .integer(1)).reshape(sizes).expand(sorted.shape)
      let first = try Tensor.filled(sorted.shape.replacing(axis, with: 1), .boolean(true), dtype: .bool)
      let starts = try Joining.cat([first, Comparison.ne(sorted.narrow(axis, 1, n - 1), sorted.narrow(axis, 0, n - 1))], axis)
      let since = try starts.choosing(places, else: Tensor.zeros([], dtype: .int64)).cummax(axis).values
      return try Binary.sub(places, since).argmax(axis, keepdim: true)
    }
  }

  /// The elements along an axis at places in their order, which keep its dimension, and where they came from.
  private func pick(_ axis: Int, keepdim: Bool, _ pick: Pick, _ places: (Tensor, Int) throws -> Tensor) throws -> (
    values: Tensor, indices: Tensor
  ) {
    let (values, indices) = try withNoGrad {
      let (sorted, order) = try (rank == 0 ? detach().reshape([1]) : detach()).sort(axis)
      if sorted.count == 0 {
        let shape = sorted.shape.replacing(axis, with: 1)
        return (try Tensor(uninitialized: shape, dtype), try Tensor(uninitialized: shape, .int64))
      }
      let at = try places(sorted, axis)
      return (try sorted.gather(axis, at), try order.gather(axis, at))
    }
    if rank == 0 {
      let index = try indices.reshape([]).copied()
      return (try recordPick(withNoGrad { try values.reshape([]).copied() }, index, 0, keepdim: true, pick), index)
    }
    let at = keepdim ? indices : try indices.squeeze([axis]).copied()
    return (try recordPick(keepdim ? values : withNoGrad { try values.squeeze([axis]).copied() }, at, axis, keepdim: keepdim, pick), at)
  }

  /// The lower median of all elements; equal ones share the gradient.
  public func median() throws -> Tensor { try medianOfAll(ignoresNaN: false) }

  /// The same of what is not NaN.
  public func nanmedian() throws -> Tensor { try medianOfAll(ignoresNaN: true) }

  private func medianOfAll(ignoresNaN: Bool) throws -> Tensor {
    guard count > 0 else { return try Tensor.filled([], .real(.nan), dtype: dtype) }
    let y = try withNoGrad {
      let flat = rank == 1 ? self : try reshape([-1])
      if ignoresNaN { return try flat.nanmedian(0).values.reshape([] as Shape).copied() }
      let (values, _) = try flat.selected(0, Tensor.kthKernel, (count + 1) / 2 - 1, places: 1, flag: dtype.isFloating)
      return Tensor(storage: values.storage, layout: Layout(Shape()), dtype: dtype)
    }
    return try y.recorded(MedianOfAll(ignoresNaN: ignoresNaN), self)
  }

  private struct MedianOfAll: Operation {
    let ignoresNaN: Bool

    var nodeName: String { ignoresNaN ? "NanmedianBackward0" : "MedianBackward0" }
    func uses(_ number: Int) -> Uses { [.a, .output] }

    func gradient(_ c: inout Backward) throws {
      let hit = try c.a.detach().eq(c.y.detach()).to(c.g.dtype)
      c[0] = try c.g * (hit / hit.sum())
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].medianOfAll(ignoresNaN: ignoresNaN)] }
  }

  /// Records `values` as picked from this tensor at `indices` along `axis`.
  func recordPick(_ values: Tensor, _ indices: Tensor, _ axis: Int, keepdim: Bool, _ pick: Pick) throws -> Tensor {
    try values.recorded(Picking(dim: axis, keepdim: keepdim, from: shape, pick: pick), self, own: indices)
  }
}

/// How elements are picked along a dimension.
enum Pick: Sendable {
  case max, min, median, nanmedian, mode
  case sort(descending: Bool)
  case topk(Int, largest: Bool)
  case kthvalue(Int)
}

/// Elements picked along a dimension, and the positions that they came from, by which gradients go back.
private struct Picking: Operation {
  let dim: Int
  let keepdim: Bool
  let from: Shape
  let pick: Pick

  var nodeName: String {
    switch pick {
    case .max: "MaxBackward0"
    case .min: "MinBackward0"
    case .median: "MedianBackward1"
    case .nanmedian: "NanmedianBackward1"
    case .mode: "ModeBackward0"
    case .sort: "SortBackward0"
    case .topk: "TopkBackward0"
    case .kthvalue: "KthvalueBackward0"
    }
  }

  var slotNames: KeyValuePairs<String, KeptSlot> { ["indices": .own(0)] }
  func uses(_ number: Int) -> Uses { .own }

  func gradient(_ c: inout Backward) throws {
    if from.rank == 0 {
      c[0] = c.g
      return
    }
    let g = keepdim ? c.g : try c.g.unsqueeze(dim)
    let at = keepdim ? try c.own : try c.own.unsqueeze(dim)
    c[0] = try Tensor.zeros(from, dtype: c.g.dtype).scatterAdd(dim, at, g)
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] {
    let x = inputs[0]
    return switch pick {
    case .max: [try x.max(dim, keepdim: keepdim).values]
    case .min: [try x.min(dim, keepdim: keepdim).values]
    case .median: [try x.median(dim, keepdim: keepdim).values]
    case .nanmedian: [try x.nanmedian(dim, keepdim: keepdim).values]
    case .mode: [try x.mode(dim, keepdim: keepdim).values]
    case .sort(let descending): [try x.sort(dim, descending: descending).values]
    case .topk(let k, let largest): [try x.topk(k, dim, largest: largest).values]
    case .kthvalue(let k): [try x.kthvalue(k, dim, keepdim: keepdim).values]
    }
  }
}

enum Sorting {
  private static let lastDim = Take.dimension("dim", default: -1)
  /// For programs that ask for it: sorting is stable always, as the results of topk are sorted.
  private static let stable = Take.flag("stable", default: false, namedOnly: true)

  static let list: [TensorOperation] = [
    TensorOperation(
      "sort", "Elements in order along a dimension (stable), and where each came from.", Take.input, lastDim,
      Take.flag("descending", default: false), stable,
      samples: [[.float(2, 4)], [.float(4, 2), .integer(0), .flag(true)], [.values([5], [2, 1, 2, 1, 3])]],
      rejects: [[.float(2), .integer(1)]]
    ) { x, lastDim, descending, _ in
      let (values, indices) = try x.sort(lastDim, descending: descending)
      return .several([.tensor(values), .indices(indices)])
    },
    TensorOperation(
      "argsort", "Where each element of the sorted tensor came from.", Take.input, lastDim, Take.flag("descending", default: false),
      stable,
      samples: [[.float(2, 4)], [.float(4, 2), .integer(0), .flag(true)]], differentiable: false
    ) { x, lastDim, descending, _ in try .indices(x.sort(lastDim, descending: descending).indices) },
    TensorOperation(
      "topk", "The k largest (or smallest) elements along a dimension in order, and their positions.", Take.input, Take.integer("k"),
      lastDim, Take.flag("largest", default: true), Take.flag("sorted", default: true),
      samples: [[.float(2, 4), .integer(2)], [.float(4, 2), .integer(3), .integer(0), .flag(false)]], rejects: [[.float(3), .integer(4)]]
    ) { x, k, lastDim, largest, _ in
      let (values, indices) = try x.topk(
        k, lastDim, largest: largest)
      return .several([.tensor(values), .indices(indices)])
    },
    TensorOperation(
      "kthvalue", "The k-th smallest element along a dimension and its position.", Take.input, Take.integer("k"), lastDim, Take.keepdim,
      samples: [[.float(2, 4), .integer(2)], [.float(4, 2), .integer(1), .integer(0), .flag(true)]], rejects: [[.float(3), .integer(0)]]
    ) { x, k, lastDim, keepdim in
      let (values, indices) = try x.kthvalue(k, lastDim, keepdim: keepdim)
      return .several([.tensor(values), .indices(indices)])
    },
    TensorOperation(
      "median", "The lower median of all elements, or along a dimension with its position.", Take.input, Take.optionalDimension("dim"),
      Take.keepdim,
      samples: [[.float(2, 3)], [.float(2, 4), .integer(1)], [.float(3, 2), .integer(0), .flag(true)], [.values([4], [1, 1, 1, 2])]],
      batching: .named
    ) { x, dim, keepdim in
      guard let dimension = dim else { return .tensor(try x.median()) }
      let (values, indices) = try x.median(dimension, keepdim: keepdim)
      return .several([.tensor(values), .indices(indices)])
    },
    TensorOperation(
      "nanmedian", "The lower median of all elements that are not NaN, or along a dimension with its position.", Take.input,
      Take.optionalDimension("dim"), Take.keepdim,
      samples: [[.float(2, 3)], [.float(2, 4), .integer(1)], [.float(3, 2), .integer(0), .flag(true)]],
      rejects: [[.float(2, 0), .integer(1)]], batching: .named
    ) { x, dim, keepdim in
      guard let dimension = dim else { return .tensor(try x.nanmedian()) }
      let (values, indices) = try x.nanmedian(dimension, keepdim: keepdim)
      return .several([.tensor(values), .indices(indices)])
    },
    TensorOperation(
      "mode", "The most frequent element along a dimension, the least of several, and its last position.", Take.input, lastDim,
      Take.keepdim,
      samples: [
        [.float(2, 4)], [.values([2, 4], [2, 1, 1, 2, 0, 3, 3, 3])], [.values([3, 2], [1, 1, 2, 1, 2, 3]), .integer(0), .flag(true)],
        [.integers([2, 5], 0...2)],
      ], rejects: [[.float(2, 0)], [.float(2), .integer(1)]]
    ) { x, lastDim, keepdim in
      let (values, indices) = try x.mode(lastDim, keepdim: keepdim)
      return .several([.tensor(values), .indices(indices)])
    },
  ]
}
