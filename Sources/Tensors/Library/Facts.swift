// What is known of tensors and dtypes without looking at elements, and windows and ranges of numbers.

import Glibc

enum Facts {
  static let list: [TensorOperation] = [
    TensorOperation("is_same_size", "Whether two tensors have one shape.", Take.input, Take.tensor("other"), batching: .shared) {
      x, other in
      .boolean(x.shape == other.shape)
    },
    TensorOperation("is_signed", "Whether the dtype has numbers below 0.", Take.input, batching: .shared) { x in
      .boolean(x.dtype != .uint8 && x.dtype != .bool)
    },
    TensorOperation(
      "is_nonzero", "Whether the only element is not 0.", Take.input, rejects: [[.float(2)], [.float(0)]], differentiable: false
    ) { x in
      guard x.count == 1 else {
        throw TensorError(.shape, "is_nonzero", "a tensor of one element is needed, this one has shape \(x.shape)")
      }
      return .boolean(try x.item().real != 0)
    },
    TensorOperation(
      "can_cast", "Whether results of one dtype may be written into another: a kind of numbers does not fit into a lower one.",
      Take.dtype("from"), Take.dtype("to"), forms: .function
    ) { from, to in .boolean(from.category <= to.category) },
    TensorOperation("promote_types", "The dtype that has the values of both.", Take.dtype("type1"), Take.dtype("type2"), forms: .function) {
      .dtype(DType.promoted($0, $1))
    },
    TensorOperation(
      "result_type", "The dtype of arithmetic with both: numbers count by their kind, and so do tensors of rank 0 beside others.",
      Take.operand("tensor1"), Take.operand("tensor2"), forms: .function, batching: .shared
    ) { a, b in
      switch (a, b) {
      case (.tensor(let a), .tensor(let b)): .dtype(Binary.promotedType(a, b))
      case (.tensor(let a), .number(let b)): .dtype(b.promoted(with: a.dtype))
      case (.number(let a), .tensor(let b)): .dtype(a.promoted(with: b.dtype))
      case (.number(let a), .number(let b)): .dtype(a.category > b.category ? a.ownDType : b.ownDType)
      }
    },
  ]
}

extension Tensor {
  /// start, start + step, … up to end, which is included.
  package static func range(_ start: Scalar, _ end: Scalar, _ step: Scalar, dtype: DType) throws -> Tensor {
    guard step.real != 0, !step.real.isNaN else { throw TensorError(.argument, "range", "the step is \(step.real)") }
    let steps = (end.real - start.real) / step.real
    guard steps.isFinite else { throw TensorError(.argument, "range", "the range \(start.real) to \(end.real) is not finite") }
    guard steps >= 0 else {
      throw TensorError(.argument, "range", "a step of \(step.real) does not lead from \(start.real) to \(end.real)")
    }
    guard steps < 1e15 else { throw TensorError(.memory, "range", "\(steps) elements are more than can be addressed") }
    let result = try Tensor(uninitialized: Shape([Int(steps) + 1], operation: "range"), dtype)
    for position in 0..<result.count { result.setElement(position, .real(start.real + Double(position) * step.real)) }
    return result
  }

  /// A window of `length` numbers, one short of its period or from end to end, of what `make` gives for a length from 2 on.
  package static func window(
    _ name: String, _ length: Int, _ periodic: Bool, _ dtype: DType?, _ make: (Int, DType) throws -> Tensor
  ) throws -> Tensor {
    let dtype = dtype ?? .defaultFloating
    guard dtype.isFloating else { throw TensorError(.dtype, name, "windows are of float dtypes, not of \(dtype)") }
    guard length >= 0 else { throw TensorError(.argument, name, "the length must not be negative, got \(length)") }
    guard length < 1 << 40 else { throw TensorError(.memory, name, "\(length) elements are more than there can be") }
    if length < 2 { return try ones([length], dtype: dtype) }
    return try withNoGrad {
      periodic ? try make(length + 1, dtype).narrow(0, 0, length).copied() : try make(length, dtype)
    }
  }

  // In the arithmetic of the dtype, as PyTorch's, whose last bits they have.
  private static func counted(_ length: Int, times step: Double, _ dtype: DType) throws -> Tensor {
    try arange(.integer(0), .integer(Int64(length)), .integer(1), dtype: dtype) * step
  }

  package static func cosineWindow(_ length: Int, alpha: Double, beta: Double, _ dtype: DType) throws -> Tensor {
    try counted(length, times: 2 * .pi / Double(length - 1), dtype).cos() * -beta + alpha
  }

  package static func blackmanWindow(_ length: Int, _ dtype: DType) throws -> Tensor {
    let x = try counted(length, times: .pi / Double(length - 1), dtype)
    return try (x * 4).cos() * 0.08 - (x * 2).cos() * 0.5 + 0.42
  }

  package static func bartlettWindow(_ length: Int, _ dtype: DType) throws -> Tensor {
    let x = try counted(length, times: 2 / Double(length - 1), dtype)
    return try x.le(1).choosing(x, else: 2.0 - x)
  }

  package static func kaiserWindow(_ length: Int, beta: Double, _ dtype: DType) throws -> Tensor {
    let across = try counted(length, times: 2 / Double(length - 1), .float64) - 1
    let inside = try (1.0 - across.square()).clamp(.integer(0), nil)
    return try ((inside.sqrt() * beta).bessel(0) / Tensor([beta], dtype: .float64).bessel(0)).to(dtype)
  }
}
