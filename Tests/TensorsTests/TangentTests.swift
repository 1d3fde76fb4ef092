// Forward mode, over every operation and sample: tangents are differences along a direction, those of gradients are second
// derivatives, and levels nest.

import Glibc
import Tensors
import Testing

@Suite struct TangentTests {
  /// Runs `body` with a level of forward mode open.
  private func level<R>(_ body: (UInt32) throws -> R) rethrows -> R {
    let bits = GradMode.bits
    let level = ForwardMode.open()
    GradMode.bits = bits | GradMode.forward
    defer {
      GradMode.bits = bits
      ForwardMode.close(level)
    }
    return try body(level)
  }

  private func direction(_ input: Tensor, _ number: Int, _ operation: TensorOperation? = nil) throws -> Tensor {
    let values = try Tensor(
      (0..<input.count).map { cos(0.3 + 1.7 * Double($0) + Double(number)) }, shape: input.shape, dtype: input.dtype)
    // Matrices that are symmetric stay so.
    guard let operation, OperationsTests.symmetric.contains(operation.name) else { return values }
    return try values + values.transpose(-2, -1)
  }

  /// The call with its float inputs replaced.
  private func call(_ example: Example, _ replaced: (Tensor, Int) throws -> Tensor) throws -> Call {
    var number = -1
    return try example.call(requiringGrad: { _ in false }).mapped { tensor in
      guard tensor.dtype.isFloating else { return tensor }
      number += 1
      return try replaced(tensor, number)
    }
  }

  /// Each output's change by a step along the directions.
  private func slopes(_ example: Example, _ above: Double, _ below: Double) throws -> [[Double]] {
    let step = (above - below) / 2
    let (above, below) = (
      try call(example) { try $0 + direction($0, $1, example.operation) * above }.outputs(),
      try call(example) { try $0 + direction($0, $1, example.operation) * below }.outputs()
    )
    return zip(above, below).map { a, b in zip(a.doubles, b.doubles).map { ($0 - $1) / (2 * step) } }
  }

  private func agree(_ a: Double, _ b: Double, _ tolerance: Double) -> Bool {
    a == b || Swift.abs(a - b) <= tolerance * Swift.max(1, Swift.abs(a), Swift.abs(b)) || (a.isNaN && b.isNaN)
  }

  /// In float64, an output's tangent is its central difference.
  @Test(arguments: Catalogue.operations) func tangents(_ operation: TensorOperation) throws {
    // Elements that tie share a gradient of the median of all, although the result is one of them.
    for example in operation.examples where try !example.call().inputs.isEmpty && !(operation.name == "median" && example.isAtChosenValues)
    {
      let (outputs, tangents) = try level { level in
        let call = try call(example) { try ForwardMode.dual($0, direction($0, $1, operation), at: level) }
        let outputs = try call.outputs()
        return (outputs, try outputs.map { try $0.tangent(at: level) })
      }
      let near = try slopes(example, 1e-5, -1e-5)
      let sides = example.isAtChosenValues ? [try slopes(example, 1e-5, 0), try slopes(example, 0, -1e-5)] : []
      for (position, output) in outputs.enumerated() where output.dtype.isFloating {
        let found = tangents[position]
        if let found { #expect(found.shape == output.shape && found.dtype == output.dtype, "\(example.text), output \(position)") }
        let values = found?.doubles ?? output.doubles.map { _ in 0 }
        for (element, value) in values.enumerated() {
          let slope = near[position][element]
          // On a kink or a jump it matters from which side.
          if sides.contains(where: { !agree(slope, $0[position][element], 1e-3) }) { continue }
          if !agree(value, slope, 5e-8) {
            Issue.record("\(example.text), output \(position): the tangent of element \(element) is \(value), differences give \(slope)")
            return
          }
        }
      }
    }
  }

  /// The tangent of a gradient is what the gradient's gradient gives in reverse: a product with the second derivatives.
  @Test(arguments: Catalogue.operations) func tangentsOfGradients(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let reverse = try example.call()
      let first = try reverse.gradients(options: BackwardOptions(createGraph: true))
      guard first.contains(where: { $0?.requiresGrad ?? false }) else { continue }
      // Σ direction · gradient, differentiated: by symmetry the second derivatives times the direction.
      var roots: [Tensor] = []
      var seeds: [Tensor?] = []
      for (number, gradient) in first.enumerated() {
        guard let gradient, gradient.requiresGrad else { continue }
        roots.append(gradient)
        seeds.append(try direction(reverse.inputs[number], number))
      }
      let wanted = try Tape.gradients(of: roots, seeds, inputs: reverse.inputs)

      let found = try level { level in
        let leaves = try example.call().inputs
        let call = try call(example) { try ForwardMode.dual(leaves[$1], direction($0, $1), at: level) }
        let gradients = try call.gradients(of: call.outputs(), by: leaves)
        return try gradients.map { try $0?.tangent(at: level) }
      }
      for (number, tangent) in found.enumerated() {
        let expected = wanted[number]?.doubles ?? reverse.inputs[number].doubles.map { _ in 0 }
        for (element, value) in (tangent?.doubles ?? expected.map { _ in 0 }).enumerated() where !agree(value, expected[element], 1e-9) {
          Issue.record(
            "\(example.text): the tangent of element \(element) of gradient \(number) is \(value), in reverse it is \(expected[element])")
          return
        }
      }
    }
  }

  /// Two levels, one within the other, give second derivatives along both; what a closed level gave is gone.
  @Test func nested() throws {
    let x = try Tensor([0.3, -0.7], dtype: .float64)
    func f(_ x: Tensor) throws -> Tensor { try (x.exp() * x).sum() }
    let second = try level { outer in
      let a = try ForwardMode.dual(x, Tensor([1, 0], dtype: .float64), at: outer)
      let (first, inner) = try level { inner in
        (try f(ForwardMode.dual(a, Tensor([1, 0], dtype: .float64), at: inner)), inner)
      }
      #expect(try first.tangent(at: inner) == nil)
      return try level { inner in
        try f(ForwardMode.dual(a, Tensor([1, 0], dtype: .float64), at: inner)).tangent(at: inner)?.tangent(at: outer)
      }
    }
    // (x · eˣ)″ = (x + 2) · eˣ
    expectEqual(try #require(second), try Tensor([2.3 * exp(0.3)], dtype: .float64).reshape([]), within: 1e-12, "second derivative")
  }

  /// Writes in place, to a tensor, to a part of it and to what it is a part of, take the tangents along.
  @Test func writes() throws {
    try level { level in
      let one = try Tensor.ones([3], dtype: .float64)
      let x = try ForwardMode.dual(Tensor([1, 2, 3], dtype: .float64), one, at: level)
      func tangent(_ x: Tensor) throws -> [Double] { try x.tangent(at: level)?.doubles ?? x.doubles.map { _ in 0 } }

      let y = try x * 1
      try Binary.mul.inPlace(y, .integer(3))
      #expect(try tangent(y) == [3, 3, 3])
      try Unary.square.inPlace(y)
      #expect(try tangent(y) == [18, 36, 54])
      try Binary.add.inPlace(y, x)
      #expect(try tangent(y) == [19, 37, 55])
      let part = try y.narrow(0, 1, 2), other = try y.narrow(0, 0, 2)
      #expect(try tangent(part) == [37, 55])
      try Binary.mul.inPlace(part, .integer(2))
      #expect(try tangent(part) == [74, 110])
      #expect(try tangent(y) == [19, 74, 110])
      #expect(try tangent(other) == [19, 74])
      try y.copy(from: Tensor([7, 7, 7], dtype: .float64))
      #expect(try tangent(y) == [0, 0, 0])
      #expect(try tangent(other) == [0, 0])

      let plain = try Tensor.zeros([2, 2], dtype: .float64)
      try plain.select(0, 0).copy(from: x.narrow(0, 0, 2))
      #expect(try tangent(plain) == [1, 1, 0, 0])
      #expect(try tangent(plain.t()) == [1, 0, 1, 0])
      #expect(try x.detach().tangent(at: level) == nil)
    }
  }
}
