// float16 and bfloat16: values, gradients, promotion and printing are PyTorch's.

import Foundation
import Tensors
import Testing

@Suite struct HalfTests {
  /// Where terms of about 1 cancel, so that what is left has the error of the terms: there a step of 1 is the measure, and not
  /// one of the result. By what differs: an operation's results, or its gradients, of which PyTorch computes some in one step.
  private static let cancelling: (outputs: Set<String>, gradients: Set<String>) = (
    [
      "adaptive_avg_pool3d", "addbmm", "addcdiv", "baddbmm", "batch_norm", "bilinear", "conv_transpose1d", "conv_transpose2d",
      "conv_transpose3d", "fold", "index_put", "index_reduce", "instance_norm", "interpolate", "lerp", "logit", "nll_loss",
      "poisson_nll_loss", "put", "tanhshrink", "trapezoid",
    ],
    [
      "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool2d", "atan2", "avg_pool2d", "batch_norm", "bilinear",
      "binary_cross_entropy_with_logits", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "cosine_embedding_loss", "einsum",
      "functional.unfold", "gaussian_nll_loss", "gradient", "group_norm", "hypot", "igamma", "igammac", "instance_norm",
      "layer_norm", "logaddexp", "logaddexp2", "mish", "normalize", "pad", "poisson_nll_loss", "renorm", "rms_norm",
      "scaled_dot_product_attention", "sinc", "softmax", "std_mean", "tanhshrink",
    ]
  )

  /// Halves are stored, and computed with in float32: results are the exact ones, rounded once or, where an operation is
  /// made of several, a few times.
  @Test(arguments: Catalogue.operations) func values(_ operation: TensorOperation) throws {
    var cancels = (outputs: false, gradients: false)
    for (example, dtype) in (operation.examples + operation.special).flatMap({ [($0, DType.float16), ($0, .bfloat16)] }) {
      guard let expected = Expected.halves["\(dtype) \(example.text)"] else {
        Issue.record("\(dtype) \(example.text) is not in the fixture; run scripts/fixtures/make")
        continue
      }
      let path = "\(example.text) in \(dtype)"
      let call = try example.call(dtype, requiringGrad: { !example.constants.contains($0) })
      if expected.isError, Differences.computesHalves.contains(operation.name) {
        let wide = try call.mapped { $0.dtype == dtype ? try $0.detach().to(.float32) : $0 }.outputs()
        for (output, exact) in zip(try call.outputs(), wide) {
          expectEqual(try output.to(.float32), exact.detach(), within: 2 * dtype.step, path)
        }
        continue
      }
      guard !expected.isError, !Differences.refusesHalves.contains(operation.name) else {
        #expect(throws: TensorError.self, "PyTorch refuses \(path)") { try call.outputs() }
        continue
      }
      let outputs = try call.outputs()
      try #require(outputs.count == expected.outputs.count, "\(path)")
      for (position, output) in outputs.enumerated() {
        let values = expected.outputs[position]
        let data = values.data(with: example.isSpecial ? Differences.values[operation.name] : nil)
        let isFar = expectSteps(
          output, shape: values.shape, dtype: try #require(values.dtype(forInputs: .float64)), data,
          within: output.dtype.isFloating ? 1.01 * dtype.step : 0,
          cancels: HalfTests.cancelling.outputs.contains(operation.name), "\(path), output \(position)")
        cancels.outputs = cancels.outputs || isFar
      }
      guard !expected.isUnknown else { continue }
      let inputs = call.inputs.filter(\.requiresGrad)
      let found = try call.gradients(of: outputs, by: inputs)
      let wanted = expected.gradients ?? inputs.map { _ in nil }
      try #require(found.count == wanted.count, "\(path)")
      for (position, values) in wanted.enumerated() {
        guard let values, let gradient = found[position] else {
          #expect(values == nil && found[position] == nil, "\(path), gradient of input \(position)")
          continue
        }
        let differences = Differences.gradients[operation.name] ?? Differences.halfGradients[operation.name]
        let isFar = expectSteps(
          gradient, shape: values.shape, dtype: dtype, values.data(with: example.isSpecial && position == 0 ? differences : nil),
          within: 4 * dtype.step, cancels: HalfTests.cancelling.gradients.contains(operation.name),
          "\(path), gradient of input \(position)")
        cancels.gradients = cancels.gradients || isFar
      }
    }
    #expect(cancels.outputs == HalfTests.cancelling.outputs.contains(operation.name), "results are listed as cancelling")
    #expect(cancels.gradients == HalfTests.cancelling.gradients.contains(operation.name), "gradients are listed as cancelling")
  }

  /// Expects elements that are as near as a tolerance relative to each allows; where terms cancel, one relative to 1. Returns
  /// whether one was farther than the first.
  private func expectSteps(
    _ found: Tensor, shape: [Int], dtype: DType, _ expected: [Double], within tolerance: Double, cancels: Bool, _ path: String
  ) -> Bool {
    // Below the smallest normal number the steps do not shrink any more: those of the dtype are absolute there.
    let least = dtype.smallestNormal
    expectEqual(found, shape: shape, dtype: dtype, expected, within: tolerance, from: cancels ? 1 : least, path)
    return cancels && !zip(found.doubles, expected).allSatisfy { agree($0, $1, tolerance, from: least) }
  }

  /// The dtypes of results, of every pair of dtypes and of operations on each.
  @Test func promotion() throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/promotion.txt")
    var lines = 0
    for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      if words[0] == "pair", let a = try? DType(named: words[1]), let b = try? DType(named: words[2]) {
        func ones(_ shape: Shape, _ dtype: DType) throws -> Tensor { try Tensor.ones(shape, dtype: dtype) }
        let found = [
          DType.promoted(a, b), try (ones([2], a) + ones([2], b)).dtype, try (ones([2], a) + ones([], b)).dtype,
          try (ones([], a) + ones([2], b)).dtype,
        ]
        #expect(found.map(\.description) == Array(words[3...]), "\(a) and \(b)")
        lines += 1
      }
      if words[0] == "dtype", let dtype = try? DType(named: words[1]) {
        let x = try Tensor.ones([2], dtype: dtype)
        let results: [(String, () throws -> Tensor)] = [
          ("x+1", { try Binary.add(x, .integer(1)) }), ("x+1.5", { try Binary.add(x, .real(1.5)) }),
          ("x+True", { try Binary.add(x, .boolean(true)) }), ("sum", { try x.sum() }), ("mean", { try x.mean() }),
          ("prod", { try x.prod() }), ("cumsum", { try x.cumsum(0) }), ("max", { try x.max() }), ("exp", { try x.exp() }),
          ("x/x", { try x / x }), ("x**2", { try Power.power(x, .integer(2)) }), ("eq", { try x.eq(x) }),
          ("sigmoid", { try x.sigmoid() }), ("softmax", { try x.softmax(0) }),
        ]
        for (position, (name, result)) in results.enumerated() {
          let wanted = words[2 + position]
          // PyTorch computes bool ** 2 as int64, and refuses softmax of whole numbers, which we compute in floats.
          if name == "x**2" && dtype == .bool || name == "softmax" && wanted == "error" { continue }
          #expect(((try? result().dtype.description) ?? "error") == wanted, "\(name) of \(dtype)")
        }
        lines += 1
      }
    }
    #expect(lines == DType.allCases.count * (DType.allCases.count + 1))
  }

  /// What is printed, to the character.
  @Test func printing() throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/printing-halves.txt")
    let text = try String(contentsOf: file, encoding: .utf8)
    var cases: [(head: [String: Any], text: [Substring])] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.first == "{", let head = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] {
        cases.append((head, []))
      } else if !cases.isEmpty {
        cases[cases.count - 1].text.append(line)
      }
    }
    #expect(cases.count >= 60)
    for (head, lines) in cases {
      let dtype = try DType(named: try #require(head["dtype"] as? String))
      let shape = try Shape(try #require(head["shape"] as? [Int]))
      let data = (head["data"] as? [Any] ?? []).map { ($0 as? NSNumber)?.doubleValue ?? Double("\($0)") ?? .nan }
      var tensor = try Tensor(data, shape: shape, dtype: dtype)
      if head["requires_grad"] as? Bool ?? false || head["grad_fn"] != nil { try tensor.setRequiresGrad(true) }
      if head["grad_fn"] != nil { tensor = try tensor * 1 }
      let expected = lines.joined(separator: "\n").trimmingCharacters(in: .newlines)
      #expect(tensor.text(PrintOptions()) == expected, "\(dtype) \(shape)")
    }
  }

  /// Every half is the double that it is printed as, and goes there and back; ties round to even.
  @Test func roundings() throws {
    var count = 0
    for bits in UInt16.min...UInt16.max {
      let (half, brain) = (Double(Float16(bitPattern: bits)), Double(Float(bitPattern: UInt32(bits) << 16)))
      for (value, dtype) in [(half, DType.float16), (brain, .bfloat16)] {
        let stored = try Tensor.full([], .real(value), dtype: dtype).element(0).real
        let isSame = value.isNaN ? stored.isNaN : stored == value && stored.sign == value.sign
        if !isSame { Issue.record("\(value) is stored as \(stored) in \(dtype)") }
        count += 1
      }
    }
    #expect(count == 2 << 16)
    func stored(_ value: Double, _ dtype: DType) throws -> Double { try Tensor.full([], .real(value), dtype: dtype).element(0).real }
    #expect(try stored(1 + 0x1p-11, .float16) == 1 && stored(1 + 3 * 0x1p-11, .float16) == 1 + 0x1p-9)
    #expect(try stored(1 + 0x1p-8, .bfloat16) == 1 && stored(1 + 3 * 0x1p-8, .bfloat16) == 1 + 0x1p-6)
    #expect(try stored(65519, .float16) == 65504 && stored(65520, .float16) == .infinity && stored(3.38e38, .bfloat16).isFinite)
    #expect(try stored(.nan, .float16).isNaN && stored(.nan, .bfloat16).isNaN && stored(-.infinity, .bfloat16) == -.infinity)
  }

  /// Strided operands of every kind, long ones too.
  @Test(arguments: [DType.float16, .bfloat16]) func strided(_ dtype: DType) throws {
    let wide = try Tensor((0..<6000).map { Double($0 % 97) / 8 - 6 }, shape: [60, 100], dtype: dtype)
    let turned = try wide.t().contiguous().t()
    for (a, b) in try [
      (wide + turned, wide * 2), (turned.exp(), wide.exp()), (turned.maximum(Tensor.zeros([100], dtype: dtype)), wide.relu()),
      (turned.sum([0]), wide.sum([0])), (turned.to(.float32).to(dtype), wide), (turned.to(.int64), wide.to(.int64)),
      (turned.gt(0).choosing(turned, else: wide), wide), (turned.clamp(.real(-1), .real(1)), wide.clamp(.real(-1), .real(1))),
      (turned.mm(turned.t()), wide.mm(wide.t())),
    ] {
      #expect(try a.eq(b).all().item() == .boolean(true))
    }
    let target = try Tensor.zeros([100, 60], dtype: dtype)
    try target.t().copy(from: wide.to(.float64))
    #expect(try target.t().eq(wide).all().item() == .boolean(true))
  }
}

extension DType {
  /// The distance of 1 to the next larger number.
  fileprivate var step: Double { self == .float16 ? 0x1p-10 : 0x1p-7 }

  /// The smallest number that has all its bits; 1 where there are none.
  fileprivate var smallestNormal: Double {
    switch self {
    case .float16: 0x1p-14
    case .bfloat16: 0x1p-126
    default: 1
    }
  }
}

/// Products large enough for instructions that multiply bfloat16: summed in float32 and rounded once, in every layout.
@Suite struct BrainProductTests {
  @Test(arguments: [[64, 64, 64], [1, 512, 512], [600, 1, 600], [257, 129, 65], [128, 300, 70]], [false, true])
  func products(_ sizes: [Int], expanded: Bool) throws {
    manualSeed(1)
    let (m, n, k) = (sizes[0], sizes[1], sizes[2])
    let a = try Tensor.randn([m, k]).to(.bfloat16)
    let b = try expanded ? Tensor.randn([k, 1]).to(.bfloat16).expand([k, n]) : Tensor.randn([k, n]).to(.bfloat16)
    let bias = try Tensor.randn([n]).to(.bfloat16)
    func check(_ found: Tensor, of a: Tensor, plus bias: [Double]? = nil, _ layout: String) throws {
      #expect(found.dtype == .bfloat16)
      let wanted = try a.to(.float64).mm(b.to(.float64)).doubles
      var worst = 0.0
      for (position, value) in found.doubles.enumerated() {
        let truth = wanted[position] + (bias?[position % n] ?? 0)
        // Half a step of 8 bits, and float32's sums of k terms.
        worst = Swift.max(worst, (value - truth).magnitude / (truth.magnitude / 256 + 1e-4 * Double(k).squareRoot()))
      }
      #expect(worst <= 1, "\(layout)")
    }
    func turned(_ x: Tensor) throws -> Tensor { try x.transpose(0, 1).contiguous().transpose(0, 1) }
    try check(a.mm(b), of: a, "plain")
    try check(turned(a).mm(b), of: a, "a in columns")
    try check(a.mm(turned(b)), of: a, "b in columns")
    try check(a.linear(b.transpose(0, 1), bias), of: a, plus: bias.doubles, "with a bias")
    let part = try Tensor.randn([m, 2 * k]).to(.bfloat16).narrow(1, k / 2, k)
    try check(part.mm(b), of: part, "a part of wider rows")
  }
}
