// What the laws in OperationsTests.swift and OperationFormsTests.swift run on: every operation with every sample.

import Glibc
import Tensors
import Testing

extension TensorOperation: CustomTestStringConvertible {
  public var testDescription: String { name }
}

/// One operation and one of its samples.
struct Example {
  let operation: TensorOperation
  let sample: Sample
  /// Dtypes of the float tensors in turn, where they are to be others than float ones.
  var dtypes: [DType] = []
  /// Whether it has infinities and NaN.
  var isSpecial = false

  /// The call in words, which is also its key in the fixture.
  var text: String {
    "\(operation.name)(\(sample.text))"
      + (dtypes.isEmpty ? "" : " as \(dtypes.map(\.description).joined(separator: ", "))")
  }

  /// Samples at chosen values may sit where the operation has a kink; generated ones do not.
  var isAtChosenValues: Bool {
    sample.values.contains { if case .values = $0 { true } else { false } }
  }

  /// A call with fresh inputs, float ones leaves that require grad where `requiringGrad` says so.
  func call(_ dtype: DType = .float64, requiringGrad: (Int) -> Bool = { _ in true }) throws -> Call {
    let arguments = try sample.arguments(for: operation, dtype: dtype)
    let inputs = arguments.tensors.filter { $0.dtype.isFloating }
    for (position, input) in inputs.enumerated() where requiringGrad(position) {
      try input.setRequiresGrad(true)
    }
    return Call(operation: operation, arguments: arguments)
  }

  /// A call with the float tensors converted to `dtypes`, and those elements to another dtype if one is given; nothing requires
  /// grad.
  func convertedCall(computedIn wide: DType? = nil) throws -> Call {
    var position = 0
    return try call(requiringGrad: { _ in false }).mapped { tensor in
      guard tensor.dtype.isFloating else { return tensor }
      defer { position += 1 }
      let converted = try tensor.converted(to: dtypes[position % dtypes.count])
      return try wide.map { try converted.converted(to: $0) } ?? converted
    }
  }

  /// Which of the float inputs PyTorch refuses to differentiate by, although we do not.
  var constants: Set<Int> {
    let isLoss = operation.name.hasSuffix("_loss") || operation.name.contains("cross_entropy")
    let names = isLoss ? ["weight", "pos_weight"] : ["running_mean", "running_var"]
    var found: Set<Int> = []
    var floats = 0
    for (value, parameter) in zip(sample.values, operation.parameters) {
      switch value {
      case .float, .values:
        if names.contains(parameter.name) { found.insert(floats) }
        floats += 1
      default: break
      }
    }
    return found
  }
}

extension TensorOperation {
  var examples: [Example] { samples.map { Example(operation: self, sample: $0) } }
  var rejected: [Example] { rejects.map { Example(operation: self, sample: $0) } }

  /// Zeros, infinities and NaN, where a sample with them can be made without knowing the operation.
  var special: [Example] {
    let zero = 0.0
    let numbers: [Double] = [zero, -zero, .infinity, -.infinity, .nan, -1, 1, 20]
    let pairs: ([Double], [Double]) = (
      [0, 0, 1, -1, -zero, .infinity, -.infinity, .nan, 1, -2, 0, 5, .infinity, 2],
      [0, 1, 0, 0.5, -1, .infinity, 2, 1, .nan, -3, -1, .infinity, 0, -.infinity]
    )
    let rows = Sample.Value.values([2, 3], [1, .nan, 2, 3, -.infinity, .infinity])
    let sample: Sample
    switch (name, samples.first?.values.count) {
    case ("leaky_relu", _), ("elu", _), ("softplus", _), ("hardtanh", _), ("gelu", _),
      (_, 1) where unary != nil:
      sample = [.values([8], numbers)]
    case ("eq", _), ("ne", _), ("lt", _), ("le", _), ("gt", _), ("ge", _), ("logical_and", _), ("pow", _),
      (_, 2) where binary != nil:
      guard case .float = samples[0].values[0] else {
        if binary != nil { return [] }
        fallthrough
      }
      sample = [.values([14], pairs.0), .values([14], pairs.1)]
    case ("clamp", _): sample = [.values([8], numbers), .number(-1), .number(1)]
    case ("max", _), ("min", _), ("amax", _), ("amin", _), ("argmax", _), ("argmin", _), ("sum", _), ("mean", _), ("prod", _),
      ("var", _), ("std", _), ("logsumexp", _), ("cumsum", _), ("cumprod", _), ("sort", _), ("argsort", _), ("median", _),
      ("softmax", _), ("log_softmax", _), ("any", _), ("all", _):
      sample = [rows, .integer(1)]
    case ("norm", _): sample = [rows, .number(2), .integer(1)]
    case ("nan_to_num", _): sample = [rows, .number(0.5), .number(2), .number(-3)]
    case ("topk", _): sample = [rows, .integer(2)]
    default: return []
    }
    return [Example(operation: self, sample: sample, isSpecial: true)]
  }

  /// The first sample, and others that mix ranks or numbers into the promotion, with tensors of other dtypes.
  var converted: [Example] {
    let mixing = samples.dropFirst().filter { sample in
      let floats = sample.values.filter { if case .float = $0 { true } else { false } }
      return sample.values.contains {
        if case .float([], _) = $0 { floats.count > 1 } else if case .number = $0 { true } else { false }
      }
    }
    return (samples.prefix(1) + mixing).flatMap { sample -> [Example] in
      let example = Example(operation: self, sample: sample)
      guard let floats = try? example.call().inputs.count, floats > 0 else { return [] }
      let single: [[DType]] = [[.int64], [.int32], [.uint8], [.bool], [.int8], [.int16]]
      let pairs: [[DType]] = [
        [.float32, .int64], [.int64, .float32], [.float32, .float64], [.float64, .float32], [.int32, .int64],
        [.uint8, .int32], [.bool, .int64],
        [.int32, .bool], [.uint8, .float32], [.int8, .uint8],
      ]
      return (single + (floats > 1 ? pairs : [])).map { Example(operation: self, sample: sample, dtypes: $0) }
    }
  }
}

/// An operation's arguments, and what it makes of them.
struct Call {
  let operation: TensorOperation
  let arguments: Arguments

  /// All float tensors among the arguments.
  var inputs: [Tensor] { arguments.tensors.filter { $0.dtype.isFloating } }

  func outputs() throws -> [Tensor] { try operation.run(arguments).tensors }

  /// The same call with each tensor replaced.
  func mapped(_ transform: (Tensor) throws -> Tensor) rethrows -> Call {
    Call(operation: operation, arguments: try arguments.mapped(transform))
  }

  /// The gradients of Σ w · output over the float outputs, w = cos(i), by each input; nil where nothing depends on
  /// the input, and for all of them where no output requires grad.
  func gradients(of outputs: [Tensor], by inputs: [Tensor], options: BackwardOptions = .init()) throws
    -> [Tensor?]
  {
    let roots = outputs.filter(\.requiresGrad)
    guard !roots.isEmpty else { return inputs.map { _ in nil } }
    return try Tape.gradients(
      of: roots, roots.map { try $0.cosineWeights() }, inputs: inputs, options: options)
  }

  func gradients(options: BackwardOptions = .init()) throws -> [Tensor?] {
    try gradients(of: outputs(), by: inputs, options: options)
  }

  /// Σ w · output.
  func scalar() throws -> Double {
    try withNoGrad {
      try outputs().filter { $0.dtype.isFloating }.reduce(0) { sum, output in
        zip(output.doubles, 0...).reduce(sum) { $0 + $1.0 * cos(Double($1.1)) }
      }
    }
  }
}

extension Tensor {
  /// cos(i) at row-major position i.
  func cosineWeights() throws -> Tensor {
    try Tensor((0..<count).map { Glibc.cos(Double($0)) }, shape: shape, dtype: dtype)
  }

  /// An equal tensor, as a leaf with the same flag, whose elements lie under other strides and behind an offset. What
  /// lies between them is NaN, or nonsense.
  func relaid(_ arrangement: Arrangement) throws -> Tensor {
    var strides = InlineArray<8, Int>(repeating: 0)
    var step = arrangement == .everyOther ? 2 : 1
    for dimension in arrangement == .columns ? Array(0..<rank) : Array((0..<rank).reversed()) {
      strides[dimension] = step
      step *= Swift.max(shape[dimension], 1)
    }
    let offset = arrangement == .columns ? 0 : 3
    let memory = try Tensor.full(
      Shape([offset + step + 1]), .real(dtype.isFloating ? .nan : 113), dtype: dtype)
    let result = Tensor(
      storage: memory.storage, layout: Layout(shape, strides: strides, offset: offset), dtype: dtype)
    for position in 0..<count { result.setElement(position, element(position)) }
    if isLeaf, requiresGrad { try result.setRequiresGrad(true) }
    return result
  }

  enum Arrangement: CaseIterable {
    /// The first dimension has stride 1.
    case columns
    /// Row-major, with a gap behind each element.
    case everyOther
    /// Contiguous, behind an offset.
    case shifted
  }

  /// All nodes that this tensor was computed by.
  var nodes: [Node] {
    var seen = Set<ObjectIdentifier>()
    var found: [Node] = []
    var stack = [gradNode].compactMap { $0 }
    while let node = stack.popLast() {
      guard seen.insert(ObjectIdentifier(node)).inserted else { continue }
      found.append(node)
      for index in 0..<node.edges.count {
        if case .node(let next, _) = node.edges[index] { stack.append(next) }
      }
    }
    return found
  }
}

// MARK: Comparing

/// Expects two tensors of one shape and dtype whose elements agree: |a − b| ≤ tolerance · (1 + |b|), equal NaN included.
func expectEqual(
  _ found: Tensor?, _ expected: Tensor?, within tolerance: Double = 0, _ path: @autoclosure () -> String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard let found, let expected else {
    if found !== expected {
      Issue.record(
        "\(path()): found \(found.map { "\($0.doubles)" } ?? "nothing"), expected \(expected.map { "\($0.doubles)" } ?? "nothing")",
        sourceLocation: sourceLocation)
    }
    return
  }
  expectEqual(
    found, shape: expected.shape.array, dtype: expected.dtype, expected.doubles, within: tolerance, path(),
    sourceLocation: sourceLocation)
}

func expectEqual(
  _ found: Tensor, shape: [Int], dtype: DType, _ expected: [Double], within tolerance: Double, from unit: Double = 1,
  _ path: @autoclosure () -> String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard found.shape.array == shape, found.dtype == dtype else {
    Issue.record(
      "\(path()): found \(found.shape) \(found.dtype), expected \(shape) \(dtype)",
      sourceLocation: sourceLocation)
    return
  }
  let values = found.doubles
  for position in 0..<values.count where !agree(values[position], expected[position], tolerance, from: unit) {
    Issue.record(
      "\(path()): element \(position) is \(values[position]), expected \(expected[position]); found \(values), expected \(expected)",
      sourceLocation: sourceLocation)
    return
  }
}

/// |a − b| ≤ tolerance · (unit + |b|), so relative from `unit` on, and absolute below. Infinities are near nothing else.
func agree(_ a: Double, _ b: Double, _ tolerance: Double, from unit: Double = 1) -> Bool {
  if a == b || (a.isNaN && b.isNaN) { return true }
  return b.isFinite && (a - b).magnitude <= tolerance * (unit + b.magnitude)
}
