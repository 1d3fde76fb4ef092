// Powers: of tensors, and with a plain number as the exponent or the base.

import CKernels
import Glibc

/// Powers have three gradients, by which of base and exponent is a plain number.
package enum Power {
  static func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try tensorPower(a, b)
  }

  package static let tensorPower = Binary(
    "pow", MG_POW, "The power.", variant: 1, forms: .all, positive: true,
    a: .uses([.a, .b]) { c in try c.g * slope(c.a, c.b) },
    b: .uses([.a, .b, .output]) { c in
      // The limit at base 0 is 0 for positive exponents.
      let log = try c.a.log().maskedFill(Comparison.and(c.a.eq(0), c.b.ge(0)), .real(0))
      return try c.g * (c.y * log)
    })

  /// b · a^(b−1), which is 0 for b = 0 whatever a is.
  private static func slope(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try (b * tensorPower(a, b - 1.0)).maskedFill(b.eq(0), .real(0))
  }

  package static func power(_ x: Tensor, _ exponent: Scalar) throws -> Tensor {
    let dtype = exponent.promoted(with: x.dtype)
    if !dtype.isFloating {
      guard dtype != .bool else { throw TensorError(.dtype, "pow", "not defined for tensors of bool") }
      guard exponent.integer >= 0 else {
        throw TensorError(
          .domain, "pow", "whole numbers cannot be raised to the negative power \(exponent.integer); convert to a float dtype")
      }
    }
    let y: Tensor
    switch exponent.real {
    case 2 where dtype == x.dtype: y = try Elementwise.unary(MG_SQUARE, x)
    case 0.5 where dtype == x.dtype: y = try Elementwise.unary(MG_SQRT, x)
    default: y = try Elementwise.binary(MG_POW, x, exponent, dtype)
    }
    return try y.recorded(ToNumber(exponent: exponent), x)
  }

  /// x to the power of a plain number.
  private struct ToNumber: Operation {
    let exponent: Scalar

    var tangentRule: TangentRule { .elementwise }
    var nodeName: String { "PowBackward0" }
    func uses(_ number: Int) -> Uses { exponent.real == 0 ? .nothing : .a }

    func gradient(_ c: inout Backward) throws {
      let n = exponent.real
      switch n {
      case 0: c[0] = try Tensor.zeros(like: c.g)
      case 1: c[0] = try c.createsGraph ? c.g.flat(in: c.a) : c.g
      case 2: c[0] = try c.g * (c.a * 2.0)
      default: c[0] = try c.g * (c.a.power(.real(n - 1)) * n)
      }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try power(inputs[0], exponent)] }
  }

  package static func power(_ base: Scalar, _ x: Tensor) throws -> Tensor {
    let dtype = base.promoted(with: x.dtype)
    let y = try Elementwise.binary(MG_POW, base, x, dtype)
    return try y.recorded(OfNumber(base: base), x)
  }

  /// A plain number to the power of x.
  private struct OfNumber: Operation {
    let base: Scalar

    var tangentRule: TangentRule { .elementwise }
    var nodeName: String { "PowBackward2" }
    var slotNames: KeyValuePairs<String, KeptSlot> { ["exponent": .input(0), "result": .output] }
    func uses(_ number: Int) -> Uses { base.real == 0 ? [.a, .output] : .output }

    func gradient(_ c: inout Backward) throws {
      let slope = try c.y * Glibc.log(base.real)
      // 0^x is flat for x ≥ 0, and falls without bound from infinity before.
      c[0] = try c.g * (base.real == 0 ? slope.maskedFill(c.a.ge(0), .real(0)) : slope)
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try power(base, inputs[0])] }
  }

  static let operation = TensorOperation(
    "pow", "Each element to the power of the exponent.", Take.operand("input"), Take.operand("exponent"),
    forms: .all,
    samples: [
      [.positive(2, 3), .float(2, 3)], [.positive(2, 3), .float(3)], [.float(2, 3), .number(2)], [.float(2, 3), .number(3)],
      [.positive(2, 3), .number(0.5)], [.positive(4), .number(-1.5)], [.float(4), .number(0)], [.integers([4], -3...3), .integer(2)],
    ], rejects: [[.integers([2], 1...3), .integer(-1)]], batching: .broadcast
  ) { x, exponent in
    switch (x, exponent) {
    case (.number(let base), .tensor(let x)): .tensor(try power(base, x))
    case (.tensor(let x), .number(let exponent)): .tensor(try power(x, exponent))
    default: .tensor(try tensorPower(x.asTensor, exponent.asTensor))
    }
  }
}
