// Arguments made of described samples: the same numbers in the test suite and in the fixtures made with PyTorch.

extension Sample {
  /// The arguments of a call of `operation`, float tensors in `dtype`; the same at every call.
  ///
  /// Element i of tensor k lies at the fractional part of (i + 1)·φ + k·√2 of its range: spread over it in no order, with no
  /// repeats within a tensor or between tensors. Floats are exact in float32 whatever the dtype, so that one expected
  /// value serves both, and keep away from whole numbers and halves, where many functions have their kinks.
  package func arguments(for operation: TensorOperation, dtype: DType = .float32) throws -> Arguments {
    Arguments(operation.name, try arguments(of: operation.parameters.map(\.kind), dtype: dtype))
  }

  /// The same for parameters of those kinds.
  package func arguments(of kinds: [Parameter.Kind], dtype: DType) throws -> [Argument] {
    var tensors = 0
    return try zip(values, kinds).map { value, kind in try value.argument(kind, dtype, &tensors) }
  }

  /// The sample in words, `[2, 3] in -2.0...2.0, 1.5`: its key in the fixtures.
  package var text: String { values.map(\.text).joined(separator: ", ") }
}

extension Sample.Value {
  fileprivate func argument(_ kind: Parameter.Kind, _ dtype: DType, _ tensors: inout Int) throws -> Argument {
    switch self {
    case .float, .integers, .positions, .booleans, .values: return .tensor(try tensor(dtype, &tensors))
    case .tensors(let list): return .tensors(try list.map { try $0.tensor(dtype, &tensors) })
    case .number(let number): return .number(.real(number))
    case .integer(let integer):
      switch kind {
      case .operand, .number: return .number(.integer(Int64(integer)))
      default: return .integer(integer)
      }
    case .list(let list): return .integers(list)
    case .flag(let flag): return .boolean(flag)
    case .text(let text): return .string(text)
    case .absent: return .absent
    case .made: throw TensorError(.argument, "sample", "\(text) is made by the layer above")
    }
  }

  private func tensor(_ dtype: DType, _ tensors: inout Int) throws -> Tensor {
    let shift = Double(tensors) * 2.0.squareRoot()
    tensors += 1
    func fraction(_ position: Int) -> Double {
      let place = Double(position + 1) * 0.618_033_988_749_894_9 + shift
      return place - place.rounded(.down)
    }
    switch self {
    case .float(let sizes, let range):
      let shape = try Shape(sizes)
      return try Tensor((0..<shape.count).map { range.value(at: fraction($0)) }, shape: shape, dtype: dtype)
    case .values(let sizes, let values):
      return try Tensor(values, shape: Shape(sizes), dtype: dtype)
    case .integers(let sizes, let range), .positions(let sizes, let range):
      let shape = try Shape(sizes)
      return try Tensor(
        (0..<shape.count).map { range.lowerBound + Int(fraction($0) * Double(range.count)) }, shape: shape)
    case .booleans(let sizes):
      let result = try Tensor(uninitialized: Shape(sizes), .bool)
      for position in 0..<result.count { result.setElement(position, .boolean(fraction(position) < 0.5)) }
      return result
    default:
      throw TensorError(.argument, "sample", "a tensor was expected in the sample, not \(text)")
    }
  }

  fileprivate var text: String {
    switch self {
    case .float(let sizes, let range): "\(sizes) in \(range)"
    case .values(let sizes, let values): "\(sizes) of \(values)"
    case .integers(let sizes, let range): "whole \(sizes) in \(range)"
    case .positions(let sizes, let range): "positions \(sizes) in \(range)"
    case .booleans(let sizes): "bool \(sizes)"
    case .tensors(let list): "{\(list.map(\.text).joined(separator: ", "))}"
    case .number(let number): "\(number)"
    case .integer(let integer): "\(integer)"
    case .list(let list): "\(list)"
    case .flag(let flag): "\(flag)"
    case .text(let text): text
    case .made(let name, let values): "\(name)(\(values.map(\.text).joined(separator: ", ")))"
    case .absent: "absent"
    }
  }
}

extension ClosedRange<Double> {
  /// The value at a fraction of the range, rounded to float32 and moved off multiples of ½ where there is room.
  fileprivate func value(at fraction: Double) -> Double {
    var value = lowerBound + (upperBound - lowerBound) * fraction
    let margin = 0.02
    if upperBound - lowerBound > 8 * margin, (value * 2 - (value * 2).rounded()).magnitude < 2 * margin {
      value += value < (lowerBound + upperBound) / 2 ? 2.5 * margin : -2.5 * margin
    }
    return Double(Float(value))
  }
}
