// Comparisons and predicates: results are bool tensors and never require grad.

import CKernels

/// A comparison, element by element, as a row of a table.
package struct Comparison: Sendable {
  let name: String
  let kernel: mg_compare_op
  let summary: String
  var aliases: [String] = []

  package func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor { try Elementwise.compare(kernel, a, b, name) }

  package func callAsFunction(_ a: Tensor, _ b: Scalar) throws -> Tensor {
    try self(a, Tensor.filled([], b, dtype: b.promoted(with: a.dtype)))
  }

  var operation: TensorOperation {
    TensorOperation(
      name, summary, Take.input, Take.operand("other"), aliases: aliases, forms: .all,
      samples: [
        [.integers([2, 3], -1...1), .integers([2, 3], -1...1)], [.float(2, 3), .float(3)], [.integers([2, 3], -1...1), .number(0.5)],
        [.booleans([4]), .booleans([4])], [.float(0, 3), .float(3)],
      ],
      rejects: [[.float(2, 3), .float(2)]], differentiable: false, batching: .broadcast
    ) { x, other in
      switch other {
      case .number(let number): .tensor(try self(x, number))
      case .tensor(let other): .tensor(try self(x, other))
      }
    }
  }

  package static let eq = Comparison(name: "eq", kernel: MG_EQ, summary: "Where both are equal.")
  package static let ne = Comparison(name: "ne", kernel: MG_NE, summary: "Where they differ.", aliases: ["not_equal"])
  package static let lt = Comparison(name: "lt", kernel: MG_LT, summary: "Where input is less.", aliases: ["less"])
  package static let le = Comparison(name: "le", kernel: MG_LE, summary: "Where input is less or equal.", aliases: ["less_equal"])
  package static let gt = Comparison(name: "gt", kernel: MG_GT, summary: "Where input is greater.", aliases: ["greater"])
  package static let ge = Comparison(name: "ge", kernel: MG_GE, summary: "Where input is greater or equal.", aliases: ["greater_equal"])
  package static let and = Comparison(name: "logical_and", kernel: MG_LOGICAL_AND, summary: "Where both are nonzero.")
  package static let or = Comparison(name: "logical_or", kernel: MG_LOGICAL_OR, summary: "Where either is nonzero.")
  package static let xor = Comparison(name: "logical_xor", kernel: MG_LOGICAL_XOR, summary: "Where exactly one is nonzero.")
  static let list = [eq, ne, lt, le, gt, ge, and, or, xor]
}

/// A question to each element, as a row of a table.
package struct Predicate: Sendable {
  let name: String
  let kernel: mg_predicate_op
  let summary: String
  var isWritable = false

  package func callAsFunction(_ x: Tensor) throws -> Tensor {
    let y = try Tensor(uninitialized: x.shape, .bool)
    try Kernels.predicate(kernel, x.dtype, over: mg_loop(x.shape, y.layout, x.layout), x.data, into: y.data)
    return y
  }

  var operation: TensorOperation {
    TensorOperation(
      name, summary, Take.input, forms: isWritable ? .all : .both,
      samples: [[.values([4], [0, -1.5, .infinity, .nan])], [.integers([2, 3], -1...1)], [.float(0, 2)]], differentiable: false,
      batching: .broadcast
    ) { .tensor(try self($0)) }
  }

  static let isnan = Predicate(name: "isnan", kernel: MG_ISNAN, summary: "Where the element is not a number.")
  static let isinf = Predicate(name: "isinf", kernel: MG_ISINF, summary: "Where the element is infinite.")
  static let isfinite = Predicate(name: "isfinite", kernel: MG_ISFINITE, summary: "Where the element is finite.")
  static let not = Predicate(name: "logical_not", kernel: MG_LOGICAL_NOT, summary: "Where the element is zero.", isWritable: true)
  static let signbit = Predicate(name: "signbit", kernel: MG_SIGNBIT, summary: "Where the sign is negative, −0 included.")
  static let list = [isnan, isinf, isfinite, not, signbit]
}

extension Tensor {
  /// The first element that does not lie between 0 and 1.
  var noProbability: Double? {
    get throws {
      // Each element that expanding repeats is looked at once.
      var shape = shape
      for axis in 0..<rank where layout.strides[axis] == 0 { shape[axis] = Swift.min(shape[axis], 1) }
      let layout = Layout(shape, strides: layout.strides, offset: layout.offset)
      let each = Tensor(storage: storage, layout: layout, dtype: dtype)
      let isFine = try withNoGrad { try Comparison.and(each.ge(0), each.le(1)).all().element(0) == .boolean(true) }
      return isFine ? nil : (0..<each.count).lazy.map { each.element($0).real }.first { !(0...1).contains($0) }
    }
  }

  /// Where the elements compare so, as a bool tensor without history. Shapes broadcast; throws when they do not.
  public func eq(_ other: Tensor) throws -> Tensor { try Comparison.eq(self, other) }
  /// Where self ≥ other.
  public func ge(_ other: Tensor) throws -> Tensor { try Comparison.ge(self, other) }
  /// Where self ≤ other.
  public func le(_ other: Tensor) throws -> Tensor { try Comparison.le(self, other) }
  /// The same with a number for every element.
  public func eq(_ number: Double) throws -> Tensor { try Comparison.eq(self, .real(number)) }
  /// Where self > number.
  public func gt(_ number: Double) throws -> Tensor { try Comparison.gt(self, .real(number)) }
  /// Where self ≥ number.
  public func ge(_ number: Double) throws -> Tensor { try Comparison.ge(self, .real(number)) }
  /// Where self < number.
  public func lt(_ number: Double) throws -> Tensor { try Comparison.lt(self, .real(number)) }
  /// Where self ≤ number.
  public func le(_ number: Double) throws -> Tensor { try Comparison.le(self, .real(number)) }
  /// Where the element is zero, as a bool tensor.
  public func logicalNot() throws -> Tensor { try Predicate.not(self) }
}
