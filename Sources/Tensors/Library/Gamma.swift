// Relatives of the gamma function, Bessel functions, and floats taken apart: with kernels of their own.

import CKernels

extension Tensor {
  private func through(_ kernel: NamedKernel, _ number: Double = 0) throws -> Tensor {
    let x = try packed()
    let y = try Tensor(uninitialized: shape, dtype)
    try kernel(dtype, .read(x.data, dtype, count), .write(y.data, dtype, count), numbers: (number, 0, 0, 0))
    return y
  }

  /// The modified Bessel function of the first kind, of order 0 or 1.
  func bessel(_ order: Int) throws -> Tensor {
    let x = try asFloats()
    return try x.through(order == 0 ? Bessel.i0 : Bessel.i1).recorded(Bessel(kind: order), x)
  }

  /// The n-th derivative of digamma.
  func polygamma(_ n: Int) throws -> Tensor {
    guard n >= 0 else { throw TensorError(.argument, "polygamma", "n must not be negative, got \(n)") }
    if n == 0 { return try digamma() }
    let x = try asFloats()
    // Above, the factorial is infinite.
    return try x.through(Polygamma.kernel, Double(Swift.min(n, 1000))).recorded(Polygamma(n: n), x)
  }

  /// The logarithm of the multivariate gamma function of dimension p.
  fileprivate func mvlgamma(_ p: Int) throws -> Tensor {
    guard p >= 1, p <= 1 << 20 else { throw TensorError(.argument, "mvlgamma", "p must be at least 1, got \(p)") }
    let constant = Double(p) * Double(p - 1) / 4 * 1.1447298858494001741
    return try Formula.of([asFloats()], "MvlgammaBackward0", ["self": .input(0)]) { x in
      let steps = try Tensor((0..<p).map { -Double($0) / 2 }, dtype: x[0].dtype)
      return try Unary.lgamma(x[0].unsqueeze(-1) + steps).sum([-1]) + constant
    }
  }

  /// The regularized incomplete gamma function with the parameter `a`: the lower or the upper part.
  fileprivate static func igamma(_ a: Tensor, _ x: Tensor, upper: Bool) throws -> Tensor {
    let name = upper ? "igammac" : "igamma"
    let dtype = Binary.promotedType(a, x)
    guard dtype.isFloating else { throw TensorError(.dtype, name, "a float tensor is needed, got \(a.dtype) and \(x.dtype)") }
    let (a, x) = (try a.to(dtype), try x.to(dtype))
    let y = try pairs(upper ? IncompleteGamma.upperKernel : IncompleteGamma.lowerKernel, a, x, dtype, name)
    return try y.recorded(IncompleteGamma(isUpper: upper), a, x)
  }

  private static func pairs(_ kernel: NamedKernel, _ a: Tensor, _ b: Tensor, _ dtype: DType, _ name: String) throws -> Tensor {
    let shape = try Shape.broadcast(a.shape, b.shape, name)
    let (left, right) = try withNoGrad {
      (try a.converted(to: dtype).expand(shape).packed(), try b.converted(to: dtype).expand(shape).packed())
    }
    let y = try Tensor(uninitialized: shape, dtype)
    let n = shape.count
    try kernel(dtype, .read(left.data, dtype, n), .read(right.data, dtype, n), .write(y.data, dtype, n))
    return y
  }

  /// The next number of the dtype from a towards b.
  fileprivate static func nextafter(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let dtype = Binary.promotedType(a, b)
    guard dtype.isFloating else { throw TensorError(.dtype, "nextafter", "a float tensor is needed, got \(a.dtype) and \(b.dtype)") }
    if !dtype.isOnlyStored { return try pairs(NextAfter.kernel, a, b, dtype, "nextafter").recorded(NextAfter(), a, b) }
    // The bits of halves are ordered as they are, those of negative ones backwards.
    let shape = try Shape.broadcast(a.shape, b.shape, "nextafter")
    let (from, to) = try withNoGrad { (try a.converted(to: dtype).expand(shape).copied(), try b.converted(to: dtype).expand(shape)) }
    let bits = from.data.assumingMemoryBound(to: UInt16.self)
    for position in 0..<from.count {
      let (x, target) = (from.element(position).real, to.element(position).real)
      if x.isNaN || target.isNaN {
        from.setElement(position, .real(.nan))
      } else if x == 0, target != 0 {
        bits[position] = target > 0 ? 1 : 0x8001
      } else if x != target {
        bits[position] = (x < target) == (x > 0) ? bits[position] + 1 : bits[position] - 1
      }
    }
    return try from.recorded(NextAfter(), a, b)
  }

  /// Mantissas in ±[½, 1) and exponents of 2; infinities and NaN are mantissas of exponent 0.
  fileprivate func frexp() throws -> (mantissa: Tensor, exponent: Tensor) {
    try requireFloating("frexp")
    let x = try packed()
    let (mantissa, exponent) = (try Tensor(uninitialized: shape, dtype), try Tensor(uninitialized: shape, .int32))
    try Frexp.kernel(
      dtype, .read(x.data, dtype, count), .write(mantissa.data, dtype, count), .write(exponent.data, .int32, count))
    return (try mantissa.recorded(Frexp(), self, own: exponent), exponent)
  }
}

private struct Bessel: Operation {
  static let i0 = NamedKernel("bessel_i0")
  static let i1 = NamedKernel("bessel_i1")

  let kind: Int

  var nodeName: String { kind == 0 ? "I0Backward0" : "SpecialI1Backward0" }
  func uses(_ number: Int) -> Uses { kind == 0 ? .a : [.a, .output] }

  func gradient(_ c: inout Backward) throws {
    let x = try c.a
    if kind == 0 {
      c[0] = try c.g * x.bessel(1)
    } else {
      let isZero = try x.eq(0)
      let ratio = try (c.y / x.maskedFill(isZero, .integer(1))).maskedFill(isZero, .real(0.5))
      c[0] = try c.g * (x.bessel(0) - ratio)
    }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].bessel(kind)] }
}

private struct Polygamma: Operation {
  static let kernel = NamedKernel("polygamma")
  let n: Int

  var nodeName: String { "PolygammaBackward0" }
  func uses(_ number: Int) -> Uses { .a }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g * c.a.polygamma(n + 1) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].polygamma(n)] }
}

private struct IncompleteGamma: Operation {
  static let lowerKernel = NamedKernel("igamma")
  static let upperKernel = NamedKernel("igammac")

  let isUpper: Bool

  var nodeName: String { isUpper ? "IgammacBackward0" : "IgammaBackward0" }
  static var broadcasts: Bool { true }
  func uses(_ number: Int) -> Uses { number == 0 ? .nothing : [.a, .b] }

  func gradient(_ c: inout Backward) throws {
    let name = isUpper ? "igammac" : "igamma"
    guard !c.needs(0) else {
      throw TensorError(.autograd, name, "there is no derivative by the first argument, which requires grad; detach() it")
    }
    // In halves the difference would have no digits.
    let wide = c.g.dtype.computing
    let (a, x) = (try c.a.to(wide), try c.b.to(wide))
    let density = try (Binary.xlogy(a - 1.0, x) - x - Unary.lgamma(a)).exp().to(c.g.dtype)
    c[1] = try isUpper ? -c.g * density : c.g * density
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try Tensor.igamma(inputs[0], inputs[1], upper: isUpper)] }
}

private struct NextAfter: Operation {
  static let kernel = NamedKernel("nextafter")

  var nodeName: String { "NextafterBackward0" }
  static var broadcasts: Bool { true }

  func gradient(_ c: inout Backward) throws {
    throw TensorError(.autograd, "nextafter", "there is no derivative; detach() the tensor that requires grad")
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try Tensor.nextafter(inputs[0], inputs[1])] }
}

private struct Frexp: Operation {
  static let kernel = NamedKernel("frexp")

  var nodeName: String { "FrexpBackward0" }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["exponent": .own(0)] }
  func uses(_ number: Int) -> Uses { .own }
  func gradient(_ c: inout Backward) throws { c[0] = try c.g * Unary.exp2(-c.own.to(c.g.dtype)) }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].frexp().mantissa] }
}

enum Gamma {
  private static func incomplete(_ name: String, _ summary: String, upper: Bool) -> TensorOperation {
    TensorOperation(
      name, summary, Take.input, Take.tensor("other"), forms: .all,
      samples: [
        [.integers([2, 3], 1...4), .positive(2, 3)], [.integers([3, 1], 1...3), .float([4], 0.5...9)],
        [.integers([4], 6...9), .float([4], 5...9)],
      ], rejects: [[.positive(2, 3), .positive(2)]], composed: true, batching: .broadcast
    ) { a, x in .tensor(try Tensor.igamma(a, x, upper: upper)) }
  }

  static let list: [TensorOperation] = [
    TensorOperation(
      "i0", "The modified Bessel function of the first kind of order 0.", Take.input, forms: .all,
      samples: [[.float(2, 3)], [.float([4], -6...6)], [.float(0, 2)]], composed: true, batching: .broadcast
    ) { x in .tensor(try x.bessel(0)) },
    TensorOperation(
      "polygamma", "The n-th derivative of digamma; as a function it takes n first too, as PyTorch's does.", Take.operand("input"),
      Take.operand("n"), forms: .all,
      samples: [[.integer(2), .positive(2, 3)], [.integer(3), .float([4], -0.9 ... -0.1)], [.positive(3), .integer(2)]],
      rejects: [[.integer(-1), .positive(2)], [.number(0.5), .positive(2)], [.positive(2), .positive(2)]], composed: true,
      batching: .broadcast
    ) { first, second in
      switch (first, second) {
      case (.number(let n), .tensor(let x)), (.tensor(let x), .number(let n)):
        guard let order = Int(exactly: n.real) else {
          throw TensorError(.argument, "polygamma", "n must be a whole number, got \(n)")
        }
        return .tensor(try x.polygamma(order))
      default: throw TensorError(.argument, "polygamma", "a whole number n and a tensor are needed")
      }
    },
    TensorOperation(
      "mvlgamma", "The logarithm of the multivariate gamma function of dimension p.", Take.input, Take.integer("p"), forms: .all,
      samples: [[.float([2, 3], 1.2...4), .integer(3)], [.float([2], 0.6...2), .integer(1)]], rejects: [[.positive(2), .integer(0)]],
      composed: true, batching: .broadcast
    ) { x, p in .tensor(try x.mvlgamma(p)) },
    incomplete(
      "igamma", "The regularized lower incomplete gamma function of other with the parameter input, by which there is no derivative.",
      upper: false),
    incomplete(
      "igammac", "The regularized upper incomplete gamma function of other with the parameter input, by which there is no derivative.",
      upper: true),
    TensorOperation(
      "nextafter", "The next number of the dtype from input in the direction of other; there is no derivative.", Take.input,
      Take.tensor("other"), forms: .all, rejects: [[.float(2, 3), .float(2)], [.integers([2], 0...3), .integers([2], 0...3)]],
      differentiable: false
    ) { a, b in .tensor(try Tensor.nextafter(a, b)) },
    TensorOperation(
      "frexp", "Mantissas between 1/2 and 1, with the sign, and whole exponents of 2.", Take.input,
      samples: [[.float(2, 3)], [.float([4], -900...900)], [.float(0, 2)]], rejects: [[.integers([2], 1...3)]], composed: true,
      batching: .broadcast
    ) { x in
      let (mantissa, exponent) = try x.frexp()
      return .several([.tensor(mantissa), .tensor(exponent)])
    },
  ]
}
