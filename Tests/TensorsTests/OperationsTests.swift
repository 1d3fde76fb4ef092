// The laws of values and derivatives, for every operation and each of its samples.

import Glibc
import Tensors
import Testing

@Suite struct OperationsTests {
  /// Values, shapes and dtypes are PyTorch's, in both float dtypes, and so are the outputs' `grad_fn` names.
  @Test(arguments: Catalogue.operations) func values(_ operation: TensorOperation) throws {
    for example in operation.examples + operation.special {
      guard let expected = Expected.all[example.text] else {
        Issue.record("\(example.text) is not in the fixture; run scripts/fixtures/make")
        continue
      }
      for dtype in [DType.float32, .float64] {
        let outputs = try example.call(dtype, requiringGrad: { !example.constants.contains($0) }).outputs()
        try #require(outputs.count == expected.outputs.count, "\(example.text)")
        var hasOther = false
        for (position, output) in outputs.enumerated() {
          let values = expected.outputs[position]
          let isUnsigned = Differences.unsigned.contains(operation.name)
          let data = values.data(with: example.isSpecial ? Differences.values[operation.name] : nil)
          expectEqual(
            isUnsigned ? try Unary.abs(output) : output, shape: values.shape,
            // Whatever the inputs, that of float_power is float64.
            dtype: try #require(values.dtype(forInputs: operation.name == "float_power" ? .float64 : dtype)),
            isUnsigned ? data.map { abs($0) } : data,
            within: tolerance(output.dtype), "\(example.text) in \(dtype), output \(position)")
          guard !expected.isUnknown, output.gradNode?.name != values.node else { continue }
          hasOther = true
          #expect(operation.isComposed || hasOtherNode(example), "\(example.text), output \(position)'s node is another")
        }
        #expect(
          operation.isComposed || hasOther == hasOtherNode(example), "\(example.text) is listed, but has PyTorch's node")
      }
    }
  }

  /// Other dtypes, and mixtures of them, give PyTorch's values and dtypes, and where it refuses them they are refused, in a
  /// sentence that names the operation. But for the listed differences: there the values are those that float64 gives.
  @Test(arguments: Catalogue.operations) func dtypes(_ operation: TensorOperation) throws {
    let kind = Differences.computed[operation.name]
    var (differs, refuses) = (false, false)
    for example in operation.converted {
      guard let expected = Expected.all[example.text] else {
        Issue.record("\(example.text) is not in the fixture; run scripts/fixtures/make")
        continue
      }
      // Of equal elements, sorting functions may name any.
      let compared = ["topk", "kthvalue"].contains(operation.name) ? 1 : Int.max
      let outputs: [Tensor]
      do {
        outputs = Array(try example.convertedCall().outputs().prefix(compared))
      } catch let error as TensorError {
        #expect(expected.isError || Differences.refuses(example), "\(example.text): \(error)")
        refuses = refuses || !expected.isError
        #expect(error.description.hasPrefix("\(operation.name): "), "\(example.text): \(error)")
        continue
      }
      let dtypes = try expected.outputs.map { try #require($0.dtype(forInputs: .float64)) }
      if !expected.isError, zip(outputs, dtypes).allSatisfy({ $0.dtype == $1 }) {
        for (output, values) in zip(outputs, expected.outputs) {
          expectEqual(output, shape: values.shape, dtype: output.dtype, values.data, within: tolerance(example, output), example.text)
        }
        continue
      }
      guard let kind else {
        Issue.record("\(example.text) gives \(outputs.map(\.dtype)), PyTorch \(expected.isError ? "refuses it" : "\(dtypes)")")
        continue
      }
      differs = true
      for (output, wide) in zip(outputs, try example.convertedCall(computedIn: .float64).outputs()) {
        expectEqual(
          output, shape: wide.shape.array, dtype: try kind.dtype(of: example), try wide.to(output.dtype).doubles,
          within: tolerance(example, output), example.text)
      }
    }
    #expect(differs == (kind != nil), "\(operation.name) is listed, but does as PyTorch")
    #expect(refuses == operation.converted.contains(where: Differences.refuses), "\(operation.name) is listed, but does as PyTorch")
  }

  /// Each listed difference is one of an operation that there is, and of an element that PyTorch's word is another about.
  @Test func differencesAreNeeded() throws {
    let names = Set(Catalogue.operations.map(\.name))
    for name in Differences.computed.keys { #expect(names.contains(name), "there is no \(name)") }
    func compare(_ list: [String: [Int: Double]], _ what: String, with data: (Example) throws -> [[Double]]) throws {
      for (name, elements) in list {
        let operation = try #require(Catalogue.operations.first { $0.name == name }, "there is no \(name)")
        let example = try #require(operation.special.first, "\(name) has no special sample")
        for (position, value) in elements {
          let theirs = try data(example).map { $0[position] }
          #expect(!theirs.allSatisfy { agree($0, value, 1e-5) }, "\(what) \(position) of \(name) is listed, but is PyTorch's")
        }
      }
    }
    func gradient(_ expected: Expected?) throws -> [Double] { try #require(expected?.gradients?.first ?? nil).data }
    try compare(Differences.values, "element") { [try #require(Expected.all[$0.text]).outputs[0].data] }
    try compare(Differences.gradients, "gradient") { [try gradient(Expected.all[$0.text])] }
    try compare(Differences.halfGradients, "gradient in halves") { example in
      try ["float16", "bfloat16"].map { try gradient(Expected.halves["\($0) \(example.text)"]) }
    }
  }

  /// First gradients are PyTorch's, in both float dtypes, and reach nothing else than PyTorch's do.
  @Test(arguments: Catalogue.operations) func gradients(_ operation: TensorOperation) throws {
    for example in operation.examples + operation.special {
      guard let expected = Expected.all[example.text], !expected.isUnknown else { continue }
      for dtype in [DType.float32, .float64] {
        let call = try example.call(dtype, requiringGrad: { !example.constants.contains($0) })
        let inputs = call.inputs.filter(\.requiresGrad)
        let found = try call.gradients(of: call.outputs(), by: inputs)
        let wanted = expected.gradients ?? inputs.map { _ in nil }
        try #require(found.count == wanted.count, "\(example.text)")
        for (position, values) in wanted.enumerated() {
          let path = "\(example.text) in \(dtype), gradient of input \(position)"
          guard let values, let gradient = found[position] else {
            #expect(values == nil && found[position] == nil, "\(path)")
            continue
          }
          if Differences.ownGradients.contains(operation.name) { continue }
          expectEqual(
            gradient, shape: values.shape, dtype: dtype,
            values.data(with: example.isSpecial && position == 0 ? Differences.gradients[operation.name] : nil),
            within: gradientTolerance(dtype, operation), path)
        }
      }
    }
  }

  /// In float64, first gradients are those of central differences.
  @Test(arguments: Catalogue.operations) func differences(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let call = try example.call()
      let gradients = try call.gradients()
      let fixed = try example.call(requiringGrad: { _ in false })
      try expectDifferences(of: { try fixed.scalar() }, by: fixed.inputs, gradients, example, order: "first")
    }
  }

  /// In float64, the gradient of the gradient is that of central differences of the first one, and the first gradient
  /// is the same whether it will be differentiated or not.
  @Test(arguments: Catalogue.operations) func secondDifferences(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let call = try example.call()
      let (first, second) = try secondGradients(call)
      for (position, plain) in try call.gradients().enumerated() {
        expectEqual(
          first[position], plain, within: 1e-13,
          "\(example.text), first gradient of input \(position) with create_graph")
      }
      let again = try example.call()
      try expectDifferences(
        of: {
          try again.gradients().enumerated().reduce(0) { sum, gradient in
            zip(gradient.element?.doubles ?? [], weights(gradient.offset)).reduce(sum) { $0 + $1.0 * $1.1 }
          }
        }, by: again.inputs, second, example, order: "second")
    }
  }

  /// Gradients of Σ v · gradient, v being other weights than the outputs'.
  private func secondGradients(_ call: Call) throws -> (first: [Tensor?], second: [Tensor?]) {
    let first = try call.gradients(options: BackwardOptions(createGraph: true))
    var roots: [Tensor] = []
    var seeds: [Tensor] = []
    for (position, gradient) in first.enumerated() {
      guard let gradient, gradient.requiresGrad else { continue }
      roots.append(gradient)
      seeds.append(
        try Tensor(Array(weights(position).prefix(gradient.count)), shape: gradient.shape, dtype: .float64))
    }
    guard !roots.isEmpty else { return (first, first.map { _ in nil }) }
    return (first, try Tape.gradients(of: roots, seeds, inputs: call.inputs))
  }

  private func weights(_ input: Int) -> [Double] {
    (0..<100).map { sin(1 + 0.7 * Double($0) + 1.3 * Double(input)) }
  }

  /// Expects `gradients` (nil: zeros) to be the derivatives of `value` by each element of `inputs`. An element lies on
  /// a kink or a jump where the derivatives from both sides differ or the step matters; only samples at chosen values
  /// may have such.
  private func expectDifferences(
    of value: () throws -> Double, by inputs: [Tensor], _ gradients: [Tensor?], _ example: Example,
    order: String
  ) throws {
    let step = 1e-5
    let center = try value()
    for (position, input) in inputs.enumerated() {
      var found = gradients[position]?.doubles
      for element in 0..<input.count {
        let x = input.element(element).real
        // Matrices that are symmetric stay so.
        let twin = OperationsTests.symmetric.contains(example.operation.name) ? mirrored(element, input.shape) : element
        func move(_ by: Double) {
          input.setElement(element, .real(x + (twin == element ? by : by / 2)))
          if twin != element { input.setElement(twin, .real(x + by / 2)) }
        }
        if twin != element, var both = found {
          both[element] = (both[element] + both[twin]) / 2
          both[twin] = both[element]
          found = both
        }
        move(step)
        let above = try value()
        move(-step)
        let below = try value()
        move(0)
        let slope = (above - below) / (2 * step)
        if example.isAtChosenValues {
          move(2 * step)
          let farther = try value()
          move(0)
          let slopes = [(above - center) / step, (center - below) / step, (farther - center) / (2 * step)]
          if !agree(slopes[0], slopes[1], 1e-2) || !agree(slopes[0], slopes[2], 1e-2) || isShared(example) {
            continue
          }
        }
        guard agree(found?[element] ?? 0, slope, 2e-8) else {
          Issue.record(
            "\(example.text): the \(order) derivative by element \(element) of input \(position) is \(found?[element] ?? 0), differences give \(slope)"
          )
          return
        }
      }
    }
  }

  /// Operations that read one half of symmetric matrices and give them a gradient as a whole.
  static let symmetric: Set = ["linalg.cholesky", "linalg.eigh", "linalg.eigvalsh"]

  /// The element on the other side of the diagonal.
  private func mirrored(_ element: Int, _ shape: Shape) -> Int {
    let n = shape[shape.rank - 1]
    return element / (n * n) * n * n + element % n * n + element / n % n
  }

  /// Whether elements tie that share a gradient although the result depends on none of them alone.
  private func isShared(_ example: Example) -> Bool { ["median", "mode"].contains(example.operation.name) }

  private func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .float32: 1e-5
    case .float64: 1e-12
    default: 0
    }
  }

  /// Logarithms in these losses are taken before the promotion, as in PyTorch; so are norms, by PyTorch alone.
  private func tolerance(_ example: Example, _ output: Tensor) -> Double {
    let names: Set = ["cosine_similarity", "cosine_embedding_loss", "multilabel_soft_margin_loss"]
    let rounds = example.operation.name.hasPrefix("binary_cross") || names.contains(example.operation.name)
    return tolerance(rounds && example.dtypes.contains(.float32) ? .float32 : output.dtype)
  }

  private func gradientTolerance(_ dtype: DType, _ operation: TensorOperation) -> Double {
    switch operation.name {
    // PyTorch's trigamma series is short, and its 1/6 a float32.
    case "digamma", "hardsigmoid": max(tolerance(dtype), 1e-8)
    // It takes lgamma of whole numbers in float32.
    case "igamma", "igammac": max(tolerance(dtype), 1e-7)
    // Its formula takes the difference of inputs and result, here near 1000.
    case "logsumexp" where dtype == .float32: 1e-4
    default: tolerance(dtype)
    }
  }

  /// Where the graph is cut up otherwise than PyTorch's.
  private func hasOtherNode(_ example: Example) -> Bool {
    switch example.operation.name {
    // The division by the batch's size is one by a plain number, which C++ names differently.
    case "cross_entropy": if case .float? = example.sample.values.dropFirst().first { true } else { false }
    // But for what only arranges the elements of one tensor anew.
    case "einsum": !["(ij->ji,", "(ii->i,", "(...ii->i...,"].contains { example.text.contains($0) }
    default: false
    }
  }
}

extension Expected.Values {
  /// The elements, some of them others.
  func data(with differences: [Int: Double]?) -> [Double] {
    data.enumerated().map { differences?[$0.offset] ?? $0.element }
  }
}
