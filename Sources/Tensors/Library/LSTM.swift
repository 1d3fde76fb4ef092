// All steps of one layer of an LSTM by one node: each step's functions in one pass over the gates, and the gradients of the weights in one
// product over all steps, where the steps one by one would add up as many.

import CKernels

/// The states of an LSTM after each step, and its cells after the last: `(length + 1, batch, hidden)`.
///
/// Inputs are what the sequence was multiplied to, `(length, batch, 4 · hidden)`, the state and the cells before, `(batch, hidden)`, and
/// the weights of the states, `(4 · hidden, hidden)`. Kept of its own are the gates and the cells after each step.
private struct LSTMSteps: Operation {
  var nodeName: String { "LstmStepsBackward" }
  var slotNames: KeyValuePairs<String, KeptSlot> { [:] }
  func uses(_ number: Int) -> Uses { [.a, .b, .c, .d, .output, .own, .own1] }
  func attribute(_ name: String) -> Any? { nil }

  /// The states' gradients pass all steps, whichever are wanted.
  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) throws -> Int {
    let gates = try node.read(.own(0), graph: false)
    return gates.count * gates.shape[2] / 4 * (wants(3) ? 2 : 1)
  }

  private static let step = NamedKernel("lstm_step")
  private static let stepGradient = NamedKernel("lstm_step_gradient")

  /// One matrix of a stack of them.
  private static func part(_ x: Tensor, _ number: Int, _ size: Int) -> UnsafeMutableRawPointer {
    x.data + number * size * MemoryLayout<Float>.stride
  }

  static func run(_ gx: Tensor, _ h0: Tensor, _ c0: Tensor, _ weights: Tensor) throws -> Tensor {
    let (length, batch, hidden) = (gx.shape[0], gx.shape[1], weights.shape[1])
    let (states, gateCount) = (batch * hidden, 4 * batch * hidden)
    let (x, w) = (try gx.packed(), try weights.packed())
    let (h, c) = (try h0.packed(), try c0.packed())
    let result = try Tensor(uninitialized: Shape([length + 1, batch, hidden]), .float32)
    let gates = try Tensor(uninitialized: Shape([length, batch, 4 * hidden]), .float32)
    let cells = try Tensor(uninitialized: Shape([length, batch, hidden]), .float32)
    let matrix = Kernels.Matrix(pointer: w.data, leading: hidden, transposed: true)
    for t in 0..<length {
      let before = t == 0 ? h.data : part(result, t - 1, states)
      let now = part(gates, t, gateCount)
      try Kernels.product(
        .float32, batch, 4 * hidden, hidden, Kernels.Matrix(pointer: before, leading: hidden, transposed: false), matrix, into: now)
      try step(
        .float32, .update(now, .float32, gateCount), .read(part(x, t, gateCount), .float32, gateCount),
        .read(t == 0 ? c.data : part(cells, t - 1, states), .float32, states), .write(part(cells, t, states), .float32, states),
        .write(part(result, t, states), .float32, states), sizes: (batch, hidden, 0, 0))
    }
    withExtendedLifetime((x, w, h, c)) {}
    try withNoGrad { _ = try result.select(0, length).copy(from: cells.select(0, length - 1)) }
    return try result.recorded(LSTMSteps(), [gx, h0, c0, weights], own: [gates, cells])
  }

  /// The formula, step by step.
  private static func composed(_ inputs: [Tensor]) throws -> Tensor {
    var (h, c) = (inputs[1], inputs[2])
    var results: [Tensor] = []
    for gx in try inputs[0].unbind(0) {
      (h, c) = try LSTMSteps.step(gx + h.linear(inputs[3], nil), c)
      results.append(h)
    }
    return try Joining.stack(results + [c], 0)
  }

  /// The state and cells after gates in the order input, forget, cell, output.
  fileprivate static func step(_ gates: Tensor, _ c: Tensor) throws -> (h: Tensor, c: Tensor) {
    let g = try gates.chunk(4, -1)
    let next = try g[1].sigmoid() * c + g[0].sigmoid() * g[2].tanh()
    return (try g[3].sigmoid() * next.tanh(), next)
  }

  func gradient(_ p: inout Backward) throws {
    if p.createsGraph { return try Formula.gradient(&p, 4, LSTMSteps.composed) }
    let (result, gates, cells) = (try p.y.packed(), try p.read(.own(0)), try p.read(.own(1)))
    let (weights, h0, c0) = (try p.d.packed(), try p.b.packed(), try p.c.packed())
    let (length, batch, hidden) = (gates.shape[0], gates.shape[1], weights.shape[1])
    let (states, gateCount) = (batch * hidden, 4 * batch * hidden)
    let given = try p.g.packed()
    let products = try Tensor(uninitialized: gates.shape, .float32)
    let dc = try Tensor(uninitialized: c0.shape, .float32)
    let dh = try Tensor(uninitialized: h0.shape, .float32)
    try withNoGrad {
      _ = try dc.copy(from: given.select(0, length))
      _ = try dh.copy(from: given.select(0, length - 1))
    }
    let matrix = Kernels.Matrix(pointer: weights.data, leading: hidden, transposed: false)
    for t in (0..<length).reversed() {
      let now = Self.part(products, t, gateCount)
      try Self.stepGradient(
        .float32, .read(Self.part(gates, t, gateCount), .float32, gateCount),
        .read(t == 0 ? c0.data : Self.part(cells, t - 1, states), .float32, states), .read(dh.data, .float32, states),
        .update(dc.data, .float32, states), .write(now, .float32, gateCount), sizes: (batch, hidden, 0, 0))
      // The gradient of the state before: what arrived for it, and what comes by the products.
      if t > 0 { try withNoGrad { _ = try dh.copy(from: given.select(0, t - 1)) } }
      try Kernels.product(
        .float32, batch, hidden, 4 * hidden, Kernels.Matrix(pointer: now, leading: 4 * hidden, transposed: false), matrix,
        accumulate: t > 0, into: dh.data)
    }
    if p.needs(0) { p[0] = products }
    if p.needs(1) { p[1] = dh }
    if p.needs(2) { p[2] = dc }
    if p.needs(3) {
      // Σ over steps of products' gradientsᵀ · the state before, in one product over all but the first.
      let total = try Tensor(uninitialized: weights.shape, .float32)
      func add(_ first: Int, _ count: Int, _ before: UnsafeMutableRawPointer, accumulate: Bool) throws {
        try Kernels.product(
          .float32, 4 * hidden, hidden, count * batch,
          Kernels.Matrix(pointer: Self.part(products, first, gateCount), leading: 4 * hidden, transposed: true),
          Kernels.Matrix(pointer: before, leading: hidden, transposed: false), accumulate: accumulate, into: total.data)
      }
      try add(0, 1, h0.data, accumulate: false)
      if length > 1 { try add(1, length - 1, result.data, accumulate: true) }
      p[3] = total
    }
    withExtendedLifetime((result, gates, cells, weights, h0, c0)) {}
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try LSTMSteps.run(inputs[0], inputs[1], inputs[2], inputs[3])] }
}

extension Tensor {
  /// The state and the cells after one step of an LSTM, from its gates in the order input, forget, cell, output.
  package static func lstmStep(gates: Tensor, cells: Tensor) throws -> (state: Tensor, cells: Tensor) {
    let next = try LSTMSteps.step(gates, cells)
    return (next.h, next.c)
  }

  /// All steps of an LSTM over this, `(length, batch, 4 · hidden)`, what the sequence was multiplied to: the states after each, and the
  /// cells after the last. Nil where there is no kernel for it: for other dtypes than float32, and for nothing.
  package func lstmSteps(_ h0: Tensor, _ c0: Tensor, weights: Tensor) throws -> (states: Tensor, cells: Tensor)? {
    guard dtype == .float32, h0.dtype == dtype, c0.dtype == dtype, weights.dtype == dtype, count > 0, h0.count > 0, rank == 3,
      weights.rank == 2, shape[2] == weights.shape[0], weights.shape[0] == 4 * weights.shape[1], h0.shape == c0.shape,
      h0.shape.array == [shape[1], weights.shape[1]], [self, h0, c0, weights].allSatisfy({ $0.batch.isEmpty })
    else { return nil }
    let result = try LSTMSteps.run(self, h0, c0, weights)
    let length = shape[0]
    // By one node, whose gradient is put together at once.
    let parts = try result.split([length, 1], 0)
    // Results of their own, which may be written in place.
    return (try parts[0].clone(), try parts[1].squeeze([0]).clone())
  }
}
