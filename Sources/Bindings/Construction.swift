// Making tensors in scripts: from numbers and nested lists, filled, counted, random.

import LuaRuntime
import Tensors

/// The tensor of a number, a boolean, or a nested list of them: integers make int64, floats the default float type,
/// booleans bool; all rows of one depth must be equally long. Tensors of one element stand for numbers; `onHistory` is called
/// for one whose gradient is lost by that: that requires grad while recording is on.
func tensor(from slot: Slot, dtype: DType?, _ name: String, onHistory: () -> Void = {}) throws -> Tensor {
  if let number = slot.scalar { return try Tensor.full([], number, dtype: dtype ?? number.ownDType) }
  if let tensor = slot.object(tensorKind) { return try tensor.detach().to(dtype ?? tensor.dtype).clone() }
  guard slot.type == .table else {
    throw ArgumentError("\(name): expected numbers, or a nested list of them, got \(Decoder.found(slot))")
  }
  try Decoder.checkPlainList(slot, slot.rawLength, name)
  var sizes: [Int] = []
  var leafDepth: Int?
  var values: [Scalar] = []
  var category = DType.Category.boolean
  try slot.walkLists(maximumDepth: Shape.maximumRank - 1) { depth, length in
    if depth == sizes.count, leafDepth == nil || depth < leafDepth! {
      sizes.append(length)
    } else if depth >= sizes.count || sizes[depth] != length {
      throw ArgumentError(
        "\(name): rows differ in length at depth \(depth + 1): \(depth < sizes.count ? "\(sizes[depth]) and \(length)" : "a list where numbers were before")"
      )
    }
  } leaf: { depth, element in
    if leafDepth == nil { leafDepth = depth }
    guard depth == leafDepth, depth == sizes.count else {
      throw ArgumentError("\(name): numbers and lists are mixed at one depth")
    }
    var number = element.scalar
    if number == nil, let tensor = element.object(tensorKind), tensor.count == 1 {
      if GradMode.isEnabled, tensor.requiresGrad { onHistory() }
      number = try tensor.item()
    }
    guard let number else {
      throw ArgumentError("\(name): elements must be numbers or booleans, found \(Decoder.found(element))")
    }
    category = max(category, number.category)
    values.append(number)
  }
  let natural: DType = values.isEmpty ? .defaultFloating : category == .floating ? .defaultFloating : category == .integer ? .int64 : .bool
  let result = try Tensor(uninitialized: Shape(sizes, operation: name), dtype ?? natural)
  guard result.count == values.count else {
    throw ArgumentError("\(name): rows differ in length: \(values.count) numbers do not fill shape \(result.shape)")
  }
  for (position, value) in values.enumerated() { result.setElement(position, value) }
  return result
}

/// Constructors as operations: they share decoding, options and help with everything else.
enum Construction {
  /// `mg.tensor(value, { dtype = …, requires_grad = … })`, for one session, which is warned once of a history that is lost.
  static var tensor: NativeFunction {
    var hasWarned = false
    return native("tensor") { call in
      guard call.count <= 2 else {
        throw ArgumentError("tensor: takes one value and options; write mg.tensor{1, 2, 3}")
      }
      var dtype: DType?
      var requiresGrad = false
      if !call.isNil(2) {
        guard call.type(2) == .table else {
          throw ArgumentError("tensor: argument 2: expected options such as { dtype = \"float64\" }, got \(Decoder.found(call[2]))")
        }
        try call[2].forEachPair { key, value in
          switch key.string {
          case "dtype":
            guard let name = value.string else {
              throw ArgumentError("tensor: option 'dtype': expected a dtype such as \"float32\", got \(Decoder.found(value))")
            }
            dtype = try DType(named: name)
          case "requires_grad":
            guard let flag = value.boolean else {
              throw ArgumentError("tensor: option 'requires_grad': expected true or false, got \(Decoder.found(value))")
            }
            requiresGrad = flag
          default:
            let name = key.string ?? Decoder.found(key)
            let hint = nearest(name, ["dtype", "requires_grad"]).map { "; did you mean '\($0)'?" } ?? ""
            throw ArgumentError("tensor: unknown option '\(name)'\(hint) (known: dtype, requires_grad)")
          }
        }
      }
      var takesValues = false
      let result = try Bindings.tensor(from: call[1], dtype: dtype, "tensor") { takesValues = true }
      if takesValues, !hasWarned {
        hasWarned = true
        call.state.warn(
          "tensor: a tensor that requires grad was given as a number; only its value is taken, and no gradient will reach it; write mg.stack{ … } to keep its history, or detach() it first"
        )
      }
      if requiresGrad { try result.setRequiresGrad(true) }
      call.returns(tensor: result)
    }
  }

  private static let grad = Parameter("requires_grad", .boolean, default: "false", namedOnly: true)
  private static let size = Parameter("size", .shape)

  /// A constructor with trailing `dtype` and `requires_grad` options.
  private static func make(
    _ name: String, _ summary: String, _ parameters: [Parameter], _ body: @escaping (Arguments, DType?) throws -> Tensor
  ) -> TensorOperation {
    let n = parameters.count
    return TensorOperation(name, summary, parameters + [.dtype, grad], forms: .function) { arguments in
      let result = try body(arguments, try arguments.dtype(n))
      if try arguments.boolean(n + 1) { try result.setRequiresGrad(true) }
      return .tensor(result)
    }
  }

  private static func shaped(
    _ name: String, _ summary: String, _ fill: @escaping (Shape, DType?) throws -> Tensor
  ) -> [TensorOperation] {
    [
      make(name, summary, [size]) { try fill(Shape(try $0.integers(0), operation: name), $1) },
      make(name + "_like", summary + " Shape and dtype are the input's.", [.input]) {
        let model = try $0.tensor(0)
        return try fill(model.shape, $1 ?? model.dtype)
      },
    ]
  }

  static let list: [TensorOperation] =
    shaped("zeros", "A tensor of zeros.") { try Tensor.zeros($0, dtype: $1 ?? .defaultFloating) }
    + shaped("ones", "A tensor of ones.") { try Tensor.ones($0, dtype: $1 ?? .defaultFloating) }
    // Stock memory is cleared: what was there before is nobody's business.
    + shaped("empty", "A tensor whose elements are not meant to be read before they are written.") {
      try Tensor.zeros($0, dtype: $1 ?? .defaultFloating)
    }
    + shaped("rand", "Numbers uniform on [0, 1).") { try Tensor.rand($0, dtype: $1 ?? .defaultFloating) }
    + shaped("randn", "Standard normal numbers.") { try Tensor.randn($0, dtype: $1 ?? .defaultFloating) }
    + [
      make("full", "A tensor of one value.", [size, .init("fill_value", .number)]) {
        let value = try $0.number(1)
        return try Tensor.full(Shape(try $0.integers(0), operation: "full"), value, dtype: $1 ?? value.ownDType)
      },
      make("full_like", "A tensor of one value in the input's shape and dtype.", [.input, .init("fill_value", .number)]) {
        let model = try $0.tensor(0)
        return try Tensor.full(model.shape, try $0.number(1), dtype: $1 ?? model.dtype)
      },
      make(
        "arange", "start, start + step, … below end; arange(end) starts at 0.",
        [.init("start", .number), .init("end", .number, optional: true), .init("step", .number, default: "1")]
      ) {
        let end = try $0.optionalNumber(1)
        return try Tensor.arange(
          end == nil ? .integer(0) : $0.number(0), end ?? $0.number(0), $0.optionalNumber(2) ?? .integer(1), dtype: $1)
      },
      make(
        "linspace", "steps values evenly spaced from start to end, both included.",
        [.init("start", .number), .init("end", .number), .init("steps", .integer)]
      ) { try Tensor.linspace($0.number(0).real, $0.number(1).real, $0.integer(2), dtype: $1 ?? .defaultFloating) },
      make(
        "logspace", "steps values, base to the power of evenly spaced exponents from start to end.",
        [.init("start", .number), .init("end", .number), .init("steps", .integer), .init("base", .number, default: "10")]
      ) {
        let exponents = try Tensor.linspace($0.number(0).real, $0.number(1).real, $0.integer(2), dtype: .float64)
        return try Power.power(.real($0.number(3, default: 10)), exponents).to($1 ?? .defaultFloating)
      },
      make("eye", "1 on the diagonal, else 0.", [.init("n", .integer), .init("m", .integer, optional: true)]) {
        let n = try $0.integer(0)
        return try Tensor.eye(n, $0.optionalInteger(1) ?? n, dtype: $1 ?? .defaultFloating)
      },
      make(
        "randint", "Whole numbers from low up to, not including, high; randint(high, size) starts at 0.",
        [.init("low", .integer), .init("high", .integers), .init("size", .shape, optional: true)]
      ) {
        if let size = try $0.optionalIntegers(2) {
          return try Tensor.randint($0.integer(0), $0.integer(1), Shape(size, operation: "randint")).to($1 ?? .int64)
        }
        return try Tensor.randint(0, $0.integer(0), Shape($0.integers(1), operation: "randint")).to($1 ?? .int64)
      },
      make("randperm", "The whole numbers 1 to n in random order: positions, which count from 1.", [.init("n", .integer)]) {
        try Binary.add(Tensor.randperm($0.integer(0)), .integer(1)).to($1 ?? .int64)
      },
      make(
        "normal", "Normally distributed numbers.", [.init("mean", .number), .init("std", .number), size]
      ) {
        try Tensor(uninitialized: Shape($0.integers(2), operation: "normal"), $1 ?? .defaultFloating).normal(
          mean: $0.number(0).real, std: $0.number(1).real)
      },
      TensorOperation("bernoulli", "0 or 1, being 1 with each element's probability.", [.input]) { .tensor(try $0.tensor(0).bernoulli()) },
      TensorOperation(
        "uniform_", "Fills the tensor uniformly from [from, to).",
        [.input, .init("from", .number, default: "0"), .init("to", .number, default: "1")], forms: .method
      ) { .tensor(try $0.tensor(0).uniform(from: $0.number(1, default: 0), to: $0.number(2, default: 1))) },
      TensorOperation(
        "normal_", "Fills the tensor with normally distributed numbers.",
        [.input, .init("mean", .number, default: "0"), .init("std", .number, default: "1")], forms: .method
      ) { .tensor(try $0.tensor(0).normal(mean: $0.number(1, default: 0), std: $0.number(2, default: 1))) },
    ]
}
