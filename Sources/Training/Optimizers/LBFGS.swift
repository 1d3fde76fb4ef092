// The method of limited memory by Broyden, Fletcher, Goldfarb and Shanno: steps by the curvature that past steps have seen.

import Glibc
import Tensors

/// Directions from the last changes of the gradient (Nocedal, 1980); along each, one step or a search for a good one.
struct LBFGSMethod: WholeMethod {
  let rate, gradientTolerance, changeTolerance: Double
  let iterations, evaluations, memory: Int
  let searches, maximize: Bool

  init(_ options: Options) throws {
    (rate, maximize) = try (options.rate, options.maximize)
    (gradientTolerance, changeTolerance) = try (options.number("tolerance_grad"), options.number("tolerance_change"))
    iterations = try options.count("max_iter", from: 1)
    evaluations = try options.count("max_eval", from: 1)
    memory = try options.count("history_size", from: 1)
    searches = try options.choice("line_search_fn", ["strong_wolfe"]) != nil
  }

  static let kinds = [
    OptimizerKind(
      "LBFGS", "Steps by the curvature that past steps have seen; step needs a closure, and runs it several times.", by: LBFGSMethod.self,
      [
        Option("lr", .integer(1), "the length of a step, or the first that a search tries"), .maximize,
        Option("max_iter", .integer(20), "how many directions a step goes along"),
        Option("max_eval", .none, "how often a step computes the loss; max_iter · 5 / 4 unless given"),
        Option("tolerance_grad", .number(1e-7), "a step ends when no gradient is larger"),
        Option("tolerance_change", .number(1e-9), "a step ends when neither parameters nor loss move by more"),
        Option("history_size", .integer(100), "how many past changes are remembered"),
        Option("line_search_fn", .none, "\"strong_wolfe\" searches along each direction; nil takes one step"),
      ], shared: [], state: [], countsSteps: false,
      derived: Derived(option: "max_eval", source: "max_iter") { source in
        let count = source.number.flatMap { Int(exactly: $0) } ?? 0
        return count.magnitude < 1 << 31 ? .integer(max(1, count * 5 / 4)) : .none
      })
  ]

  // MARK: What is remembered

  struct Memory: OptimizerMemory {
    var evaluations = 0, iterations = 0
    var direction, previous: Tensor?
    var length = 0.0, scale = 1.0
    var loss = Double.nan
    /// The changes of the gradient, those of the parameters, and the reciprocals of their products.
    var changes: [Tensor] = [], steps: [Tensor] = []
    var products: [Double] = []

    var values: [(name: String, value: Optimizer.StateValue)] {
      var values: [(name: String, value: Optimizer.StateValue)] = [
        ("func_evals", .number(Double(evaluations))), ("n_iter", .number(Double(iterations))),
      ]
      guard let direction, let previous else { return values }
      let products = (try? products.map { try Tensor.filled([], .real($0), dtype: direction.dtype) }) ?? []
      values += [
        ("d", .tensor(direction)), ("t", .number(length)), ("old_dirs", .tensors(changes)), ("old_stps", .tensors(steps)),
        ("ro", .tensors(products)), ("H_diag", .number(scale)), ("prev_flat_grad", .tensor(previous)), ("prev_loss", .number(loss)),
      ]
      if iterations > 1 { values.append(("al", .tensors([]))) }
      return values
    }
  }

  static func restored(_ values: [(name: String, value: Optimizer.StateValue)], _ optimizer: Optimizer) throws -> any OptimizerMemory {
    let count = optimizer.groups.flatMap(\.parameters).reduce(0) { $0 + $1.count }
    func wrong(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "LBFGS.load_state_dict", facts) }
    func flat(_ tensor: Tensor, _ name: String) throws -> Tensor {
      guard tensor.shape == [count] else { throw wrong("\(name) has shape \(tensor.shape), its parameters \(count) elements") }
      return try tensor.detach().copied()
    }
    var memory = Memory()
    for (name, value) in values {
      func number() throws -> Double {
        switch value {
        case .number(let number): return number
        case .tensor(let tensor) where tensor.count == 1: return try tensor.item().real
        default: throw wrong("\(name) is no number")
        }
      }
      func counted() throws -> Int {
        guard let count = Int(exactly: try number()), count >= 0 else { throw wrong("\(name) is no count") }
        return count
      }
      switch (name, value) {
      case ("func_evals", _): memory.evaluations = try counted()
      case ("n_iter", _): memory.iterations = try counted()
      case ("t", _): memory.length = try number()
      case ("H_diag", _): memory.scale = try number()
      case ("prev_loss", _): memory.loss = try number()
      case ("d", .tensor(let tensor)): memory.direction = try flat(tensor, name)
      case ("prev_flat_grad", .tensor(let tensor)): memory.previous = try flat(tensor, name)
      case ("old_dirs", .tensors(let list)): memory.changes = try list.map { try flat($0, name) }
      case ("old_stps", .tensors(let list)): memory.steps = try list.map { try flat($0, name) }
      case ("ro", .tensors(let list)): memory.products = try list.map { try $0.item().real }
      case ("al", _), (_, .none): break
      default: throw wrong("\(name) is not remembered, or not in this form")
      }
    }
    guard memory.changes.count == memory.steps.count, memory.steps.count == memory.products.count,
      (memory.direction == nil) == (memory.previous == nil), memory.iterations > 0 || memory.direction == nil
    else { throw wrong("old_dirs, old_stps and ro must be of one length, and d come with prev_flat_grad") }
    if memory.direction == nil { memory.iterations = 0 }
    return memory
  }

  // MARK: A step

  static func step(_ optimizer: Optimizer, _ loss: () throws -> Double) throws {
    guard let group = optimizer.groups.first, let method = group.method as? LBFGSMethod else { return }
    try method.step(optimizer, group.parameters, loss)
  }

  private func step(_ optimizer: Optimizer, _ parameters: [Tensor], _ closure: () throws -> Double) throws {
    func loss() throws -> Double { try maximize ? -closure() : closure() }
    var memory = optimizer.memory as? Memory ?? Memory()
    defer { optimizer.memory = memory }
    var value = try loss()
    var evaluations = 1
    memory.evaluations += 1
    var gradient = try flatGradient(parameters)
    guard gradient.count > 0 else { return }
    var isFlat = try largest(gradient) <= gradientTolerance
    if isFlat { return }
    var (direction, length) = (memory.direction ?? gradient, memory.length)
    for iteration in 1...iterations {
      direction = try nextDirection(direction, length, gradient, &memory)
      memory.iterations += 1
      memory.previous = gradient
      memory.loss = value
      memory.direction = direction
      length = memory.iterations == 1 ? try min(1, 1 / gradient.abs().sum().item().real) * rate : rate
      memory.length = length
      let slope = try gradient.dot(direction).item().real
      if slope > -changeTolerance { break }
      var searched = 0
      if searches {
        let start = try parameters.map { try $0.copied() }
        let found = try WolfeSearch(tolerance: 1e-9, limit: self.evaluations - evaluations).search(
          from: .init(at: 0, loss: value, gradient: gradient, slope: slope), first: length, largest: largest(direction)
        ) { length in
          // Wherever the closure fails, the parameters are back at the start.
          defer { for (parameter, elements) in zip(parameters, start) where parameter.requiresGrad { try? parameter.assign(elements) } }
          try move(parameters, direction, length)
          let value = try loss()
          let gradient = try flatGradient(parameters)
          return .init(at: length, loss: value, gradient: gradient, slope: try gradient.dot(direction).item().real)
        }
        (value, gradient, length, searched) = (found.point.loss, found.point.gradient, found.point.at, found.evaluations)
        try move(parameters, direction, length)
        isFlat = try largest(gradient) <= gradientTolerance
      } else {
        try move(parameters, direction, length)
        if iteration != iterations {
          value = try loss()
          gradient = try flatGradient(parameters)
          isFlat = try largest(gradient) <= gradientTolerance
          searched = 1
        }
      }
      memory.length = length
      evaluations += searched
      memory.evaluations += searched
      if iteration == iterations || evaluations >= self.evaluations || isFlat { break }
      if try largest(direction) * length.magnitude <= changeTolerance { break }
      if (value - memory.loss).magnitude < changeTolerance { break }
    }
  }

  /// −H·g, with H as the past changes have it.
  private func nextDirection(_ last: Tensor, _ length: Double, _ gradient: Tensor, _ memory: inout Memory) throws -> Tensor {
    guard memory.iterations > 0, let previous = memory.previous else {
      (memory.changes, memory.steps, memory.products, memory.scale) = ([], [], [], 1)
      return try gradient * -1.0
    }
    let (change, step) = (try gradient - previous, try last * length)
    let product = try change.dot(step).item().real
    if product > 1e-10 {
      if memory.changes.count >= self.memory {
        memory.changes.removeFirst()
        memory.steps.removeFirst()
        memory.products.removeFirst()
      }
      memory.changes.append(change)
      memory.steps.append(step)
      // Rounded to the parameters' dtype, as the state dict has it: what goes on from that must not differ.
      memory.products.append(try Tensor.filled([], .real(1 / product), dtype: gradient.dtype).item().real)
      memory.scale = try product / change.dot(change).item().real
    }
    var (q, weights) = (try gradient * -1.0, [Double](repeating: 0, count: memory.changes.count))
    for i in memory.changes.indices.reversed() {
      weights[i] = try memory.steps[i].dot(q).item().real * memory.products[i]
      q = try q + memory.changes[i] * -weights[i]
    }
    q = try q * memory.scale
    for i in memory.changes.indices {
      let other = try memory.changes[i].dot(q).item().real * memory.products[i]
      q = try q + memory.steps[i] * (weights[i] - other)
    }
    return q
  }

  private func largest(_ flat: Tensor) throws -> Double { try flat.abs().max().item().real }

  /// All gradients one after another; zeros for parameters that have none or are frozen.
  private func flatGradient(_ parameters: [Tensor]) throws -> Tensor {
    let count = parameters.reduce(0) { $0 + $1.count }
    let dtype = parameters.contains { $0.dtype == .float64 } ? DType.float64 : parameters.first?.dtype ?? .float32
    let flat = try Tensor.zeros([count], dtype: dtype)
    var offset = 0
    for parameter in parameters {
      if parameter.requiresGrad, let gradient = parameter.grad {
        try flat.narrow(0, offset, parameter.count).view(parameter.shape.array).assign(gradient.detach())
      }
      offset += parameter.count
    }
    return maximize ? try flat * -1.0 : flat
  }

  private func move(_ parameters: [Tensor], _ direction: Tensor, _ length: Double) throws {
    // All of them before the first one moves.
    if WriteGuard.areThere { for parameter in parameters where parameter.requiresGrad { try parameter.checkGuard(by: "LBFGS.step") } }
    var offset = 0
    for parameter in parameters {
      if parameter.requiresGrad {
        let part = try direction.narrow(0, offset, parameter.count).view(parameter.shape.array)
        try parameter.assign(parameter.detach() + part * length)
      }
      offset += parameter.count
    }
  }
}

/// A search along a direction for a step that lowers the loss and the slope enough (the strong conditions of Wolfe).
struct WolfeSearch {
  let tolerance: Double
  /// How many evaluations are left.
  let limit: Int

  /// What is known of a step's length.
  struct Point {
    var at: Double
    var loss: Double
    var gradient: Tensor
    var slope: Double
  }

  func search(
    from start: Point, first: Double, largest: Double, _ evaluate: (Double) throws -> Point
  ) throws -> (point: Point, evaluations: Int) {
    let (enough, flatter) = (1e-4, 0.9)
    func isTooHigh(_ point: Point) -> Bool { point.loss > start.loss + enough * point.at * start.slope }
    func isFlatEnough(_ point: Point) -> Bool { point.slope.magnitude <= -flatter * start.slope }
    // First a stretch in which there must be such a step.
    var (previous, point) = (start, try evaluate(first))
    var (evaluations, iteration) = (1, 0)
    var stretch: [Point] = []
    while iteration < limit {
      if isTooHigh(point) || (iteration > 1 && point.loss >= previous.loss) || point.slope >= 0 && !isFlatEnough(point) {
        stretch = [previous, point]
        break
      }
      if isFlatEnough(point) { return (point, evaluations) }
      let (nearest, farthest) = (point.at + 0.01 * (point.at - previous.at), point.at * 10)
      let next = cubic(previous, point, between: (nearest, farthest))
      previous = point
      point = try evaluate(next)
      evaluations += 1
      iteration += 1
    }
    if stretch.isEmpty { stretch = [start, point] }
    // Then smaller and smaller ones.
    var isSlow = false
    var low = stretch[0].loss <= stretch[1].loss ? 0 : 1
    while iteration < limit {
      let ends = (min(stretch[0].at, stretch[1].at), max(stretch[0].at, stretch[1].at))
      if (ends.1 - ends.0) * largest < tolerance { break }
      var at = cubic(stretch[0], stretch[1], between: nil)
      let margin = 0.1 * (ends.1 - ends.0)
      if min(ends.1 - at, at - ends.0) < margin {
        if isSlow || at >= ends.1 || at <= ends.0 {
          at = (at - ends.1).magnitude < (at - ends.0).magnitude ? ends.1 - margin : ends.0 + margin
          isSlow = false
        } else {
          isSlow = true
        }
      } else {
        isSlow = false
      }
      let point = try evaluate(at)
      evaluations += 1
      iteration += 1
      if isTooHigh(point) || point.loss >= stretch[low].loss {
        stretch[1 - low] = point
        low = stretch[0].loss <= stretch[1].loss ? 0 : 1
      } else {
        let isDone = isFlatEnough(point)
        if !isDone, point.slope * (stretch[1 - low].at - stretch[low].at) >= 0 { stretch[1 - low] = stretch[low] }
        stretch[low] = point
        if isDone { break }
      }
    }
    return (stretch[low], evaluations)
  }

  /// The lowest place of the cubic through two points with their slopes, within bounds.
  private func cubic(_ a: Point, _ b: Point, between bounds: (Double, Double)?) -> Double {
    let (low, high) = bounds ?? (a.at <= b.at ? (a.at, b.at) : (b.at, a.at))
    let d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.at - b.at)
    let square = d1 * d1 - a.slope * b.slope
    guard square >= 0 else { return (low + high) / 2 }
    let d2 = square.squareRoot()
    let place =
      a.at <= b.at
      ? b.at - (b.at - a.at) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
      : a.at - (a.at - b.at) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2 * d2))
    return min(max(place, low), high)
  }
}
