// Making tensors in scripts: from numbers and nested lists, filled, counted, random.

import LuaRuntime
import Tensors

/// The tensor of a number, a boolean, or a nested list of them: integers make int64, floats the default float type,
/// booleans bool; all rows of one depth must be equally long. Tensors of one element stand for numbers; `onHistory` is called
/// for one whose gradient is lost by that: that requires grad while recording is on.
func tensor(from slot: Slot, dtype: DType?, _ name: String, onHistory: () -> Void = {}) throws -> Tensor {
  if let number = slot.scalar { return try Tensor.filled([], fitting(number, dtype, name), dtype: dtype ?? number.ownDType) }
  if let tensor = slot.object(tensorKind) { return try tensor.detach().to(dtype ?? tensor.dtype).clone() }
  guard slot.type == .table else {
    throw ArgumentError("\(name): expected numbers, or a nested list of them, got \(Decoder.found(slot))")
  }
  try Decoder.checkPlainList(slot, slot.rawLength, name)
  var sizes: [Int] = []
  var leafDepth: Int?
  var values: [Scalar] = []
  var category = DType.Category.boolean
  // How many lists and elements the walk has come by, this one too, and by how many it had at the first list of each depth: enough
  // to find out where these are when a message says so.
  var visited = 0
  var firsts: [Int] = []
  func place(_ visit: Int) -> String { position(ofVisit: visit, in: slot).map { "[\($0)]" }.joined() }
  func count(_ number: Int) -> String { "\(number) element\(number == 1 ? "" : "s")" }
  try slot.walkLists(maximumDepth: Shape.maximumRank - 1) { depth, length in
    visited += 1
    if depth == sizes.count, leafDepth == nil || depth < leafDepth! {
      sizes.append(length)
      firsts.append(visited)
    } else if depth >= sizes.count {
      throw ArgumentError("\(name): \(place(visited)) is a list where a number was expected, as before it at the same depth")
    } else if sizes[depth] != length {
      throw ArgumentError(
        "\(name): rows differ in length: \(place(firsts[depth])) has \(count(sizes[depth])), but \(place(visited)) has \(length)")
    }
  } leaf: { depth, element in
    visited += 1
    if visited & 0xfff == 0 { try Context.checkStop() }
    if element.isNil { throw ArgumentError("\(name): element \(place(visited)) is nil: a list cannot have holes") }
    if leafDepth == nil { leafDepth = depth }
    guard depth == leafDepth, depth == sizes.count else {
      throw ArgumentError(
        "\(name): \(place(visited)) is \(Decoder.found(element)) where a list was expected, as before it at the same depth")
    }
    var number = element.scalar
    if number == nil, let tensor = element.object(tensorKind), tensor.count == 1 {
      if GradMode.isEnabled, tensor.requiresGrad { onHistory() }
      number = try tensor.item()
    }
    guard let number else {
      throw ArgumentError("\(name): elements must be numbers or booleans, \(place(visited)) is \(Decoder.found(element))")
    }
    category = max(category, number.category)
    values.append(try fitting(number, dtype, name))
  }
  let natural: DType = values.isEmpty ? .defaultFloating : category == .floating ? .defaultFloating : category == .integer ? .int64 : .bool
  let result = try Tensor(uninitialized: Shape(sizes, operation: name), dtype ?? natural)
  guard result.count == values.count else {
    throw ArgumentError("\(name): rows differ in length: \(values.count) numbers do not fill shape \(result.shape)")
  }
  Context.inPieces(values.count) { result.setElement($0, values[$0]) }
  try Context.checkStop()
  return result
}

/// The positions, from the outermost list inwards, of the list or element that a walk over nested lists visits as the n-th.
private func position(ofVisit n: Int, in slot: Slot) -> [Int] {
  struct Found: Error {}
  var path: [Int] = []
  var visited = 0
  func visit(_ depth: Int) throws {
    if path.count < depth {
      path.append(1)
    } else {
      path.removeLast(path.count - depth)
      if depth > 0 { path[depth - 1] += 1 }
    }
    visited += 1
    if visited == n { throw Found() }
  }
  try? slot.walkLists(maximumDepth: Shape.maximumRank) { depth, _ in
    try visit(depth)
  } leaf: { depth, _ in
    try visit(depth)
  }
  return path
}

/// An element for a tensor of a dtype that was asked for.
private func fitting(_ number: Scalar, _ dtype: DType?, _ name: String) throws -> Scalar {
  guard let dtype, !dtype.isFloating else { return number }
  return try number.fitting(dtype, name)
}

/// Constructors as operations: they share decoding, options and help with everything else.
enum Construction {
  /// `mg.tensor(value, { dtype = …, requires_grad = … })`
  static var tensor: NativeFunction {
    native("tensor") { call in
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
          case "device": try Devices.check(value, "tensor: option 'device'")
          default:
            let name = key.string ?? Decoder.found(key)
            let hint = nearest(name, ["dtype", "requires_grad", "device"]).map { "; did you mean '\($0)'?" } ?? ""
            throw ArgumentError("tensor: unknown option '\(name)'\(hint) (known: dtype, requires_grad, device)")
          }
        }
      }
      var takesValues = false
      let result = try Bindings.tensor(from: call[1], dtype: dtype, "tensor") { takesValues = true }
      if takesValues {
        call.state.warnOnce(
          "tensor: a tensor that requires grad was given as a number; only its value is taken, and no gradient will reach it; write mg.stack{ … } to keep its history, or detach() it first"
        )
      }
      if requiresGrad { try result.setRequiresGrad(true) }
      call.returns(tensor: result)
    }
  }

  private static let grad = Take.flag("requires_grad", default: false, namedOnly: true)
  private static let size = Take.shape("size")

  /// What a constructor made, as a leaf that requires grad if that was asked for.
  private static func made(_ tensor: Tensor, _ requiresGrad: Bool) throws -> Output {
    if requiresGrad { try tensor.setRequiresGrad(true) }
    return .tensor(tensor)
  }

  private static func shaped(
    _ name: String, _ summary: String, isRandom: Bool = false, _ fill: @escaping @Sendable (Shape, DType?) throws -> Tensor
  ) -> [TensorOperation] {
    [
      TensorOperation(
        name, summary, size, Take.dtype, grad, forms: .function, batching: isRandom ? .random(elementwise: true) : nil
      ) { size, dtype, grad in
        try made(fill(Shape(size, operation: name), dtype), grad)
      },
      TensorOperation(
        name + "_like", summary + " Shape and dtype are the input's.", Take.input, Take.dtype, grad, forms: .function,
        batching: isRandom ? .random(elementwise: true) : .broadcast
      ) { model, dtype, grad in
        try made(fill(model.shape, dtype ?? model.dtype), grad)
      },
    ]
  }

  /// `x:new_zeros(2, 3)`: in x's dtype.
  private static func new(_ name: String, _ summary: String, _ fill: @escaping @Sendable (Shape, DType) throws -> Tensor) -> TensorOperation
  {
    TensorOperation(
      "new_" + name, summary + " The dtype is the input's.", Take.input, size, Take.dtype, grad, forms: .method, batching: .sizes
    ) {
      model, size, dtype, grad in
      try made(fill(Shape(size, operation: "new_" + name), dtype ?? model.dtype), grad)
    }
  }

  private static let length = Take.integer("window_length")
  private static let periodic = Take.flag("periodic", default: true)

  private static func window(_ name: String, _ shape: String, _ make: @escaping @Sendable (Int, DType) throws -> Tensor) -> TensorOperation
  {
    let name = name + "_window"
    return TensorOperation(
      name, "A window of window_length numbers: \(shape), for one period or from end to end.", length, periodic, Take.dtype, grad,
      forms: .function
    ) { length, periodic, dtype, grad in try made(Tensor.window(name, length, periodic, dtype, make), grad) }
  }

  static let list: [TensorOperation] =
    shaped("zeros", "A tensor of zeros.") { try Tensor.zeros($0, dtype: $1 ?? .defaultFloating) }
    + shaped("ones", "A tensor of ones.") { try Tensor.ones($0, dtype: $1 ?? .defaultFloating) }
    // Stock memory is cleared: what was there before is nobody's business.
    + shaped("empty", "A tensor whose elements are not meant to be read before they are written.") {
      try Tensor.zeros($0, dtype: $1 ?? .defaultFloating)
    }
    + shaped("rand", "Numbers uniform on [0, 1).", isRandom: true) { try Tensor.rand($0, dtype: $1 ?? .defaultFloating) }
    + shaped("randn", "Standard normal numbers.", isRandom: true) { try Tensor.randn($0, dtype: $1 ?? .defaultFloating) }
    + [
      new("zeros", "A tensor of zeros.") { try Tensor.zeros($0, dtype: $1) },
      new("ones", "A tensor of ones.") { try Tensor.ones($0, dtype: $1) },
      new("empty", "A tensor whose elements are not meant to be read before they are written.") { try Tensor.zeros($0, dtype: $1) },
      TensorOperation(
        "new_full", "A tensor of one value. The dtype is the input's.", Take.input, size, Take.scalar("fill_value"), Take.dtype, grad,
        forms: .method, batching: .sizes
      ) { model, size, value, dtype, grad in
        try made(Tensor.full(Shape(size, operation: "new_full"), value, dtype: dtype ?? model.dtype), grad)
      },
      TensorOperation(
        "full", "A tensor of one value.", size, Take.scalar("fill_value"), Take.dtype, grad, forms: .function
      ) { size, value, dtype, grad in
        try made(Tensor.full(Shape(size, operation: "full"), value, dtype: dtype ?? value.ownDType), grad)
      },
      TensorOperation(
        "full_like", "A tensor of one value in the input's shape and dtype.", Take.input, Take.scalar("fill_value"), Take.dtype, grad,
        forms: .function, batching: .broadcast
      ) { model, value, dtype, grad in
        try made(Tensor.full(model.shape, value, dtype: dtype ?? model.dtype), grad)
      },
      TensorOperation(
        "arange", "start, start + step, … below end; arange(end) starts at 0.", Take.scalar("start"), Take.optionalScalar("end"),
        Take.scalar("step", default: 1), Take.dtype, grad, forms: .function
      ) { start, end, step, dtype, grad in
        try made(Tensor.arange(end == nil ? .integer(0) : start, end ?? start, step, dtype: dtype), grad)
      },
      TensorOperation(
        "range", "start, start + step, … up to end, which is included, in a float dtype where none is asked for.", Take.scalar("start"),
        Take.scalar("end"), Take.scalar("step", default: 1), Take.dtype, grad, forms: .function
      ) { start, end, step, dtype, grad in
        try made(Tensor.range(start, end, step, dtype: dtype ?? .defaultFloating), grad)
      },
      TensorOperation(
        "scalar_tensor", "A number as a tensor of rank 0, in a float dtype where none is asked for.", Take.scalar("s"), Take.dtype, grad,
        forms: .function
      ) { number, dtype, grad in
        try made(Tensor.full([], number, dtype: dtype ?? .defaultFloating), grad)
      },
      window("hann", "half a cosine's wave above 0") { try Tensor.cosineWindow($0, alpha: 0.5, beta: 0.5, $1) },
      window("blackman", "the sum of two cosines") { try Tensor.blackmanWindow($0, $1) },
      window("bartlett", "a triangle") { try Tensor.bartlettWindow($0, $1) },
      TensorOperation(
        "hamming_window", "A window of window_length numbers: alpha − beta · a cosine, for one period or from end to end.", length,
        periodic,
        Take.number("alpha", default: 0.54), Take.number("beta", default: 0.46), Take.dtype, grad, forms: .function
      ) { length, periodic, alpha, beta, dtype, grad in
        try made(
          Tensor.window("hamming_window", length, periodic, dtype) { try Tensor.cosineWindow($0, alpha: alpha, beta: beta, $1) }, grad)
      },
      TensorOperation(
        "kaiser_window", "A window of window_length numbers by a Bessel function, narrower for a larger beta.", length, periodic,
        Take.number("beta", default: 12), Take.dtype, grad, forms: .function
      ) { length, periodic, beta, dtype, grad in
        try made(Tensor.window("kaiser_window", length, periodic, dtype) { try Tensor.kaiserWindow($0, beta: beta, $1) }, grad)
      },
      TensorOperation(
        "linspace", "steps values evenly spaced from start to end, both included.", Take.number("start"), Take.number("end"),
        Take.integer("steps"), Take.dtype, grad, forms: .function
      ) { start, end, steps, dtype, grad in
        try made(Tensor.linspace(start, end, steps, dtype: dtype ?? .defaultFloating), grad)
      },
      TensorOperation(
        "logspace", "steps values, base to the power of evenly spaced exponents from start to end.", Take.number("start"),
        Take.number("end"), Take.integer("steps"), Take.number("base", default: 10), Take.dtype, grad, forms: .function
      ) { start, end, steps, base, dtype, grad in
        let exponents = try Tensor.linspace(start, end, steps, dtype: .float64)
        return try made(Power.power(.real(base), exponents).to(dtype ?? .defaultFloating), grad)
      },
      TensorOperation(
        "eye", "1 on the diagonal, else 0.", Take.integer("n"), Take.optionalInteger("m"), Take.dtype, grad, forms: .function
      ) { n, m, dtype, grad in
        try made(Tensor.eye(n, m ?? n, dtype: dtype ?? .defaultFloating), grad)
      },
      TensorOperation(
        "randint", "Whole numbers from low up to, not including, high; randint(high, size) starts at 0.", Take.integer("low"),
        Take.sizeOrSizes("high"), Take.optionalShape("size"), Take.dtype, grad, forms: .function, batching: .random(elementwise: true)
      ) { low, high, size, dtype, grad in
        switch (high, size) {
        case (.size(let high), let size?): try made(Tensor.randint(low, high, Shape(size, operation: "randint")).to(dtype ?? .int64), grad)
        case (.size(let size), nil): try made(Tensor.randint(0, low, Shape([size], operation: "randint")).to(dtype ?? .int64), grad)
        case (.sizes(let sizes), nil): try made(Tensor.randint(0, low, Shape(sizes, operation: "randint")).to(dtype ?? .int64), grad)
        case (.sizes, _?): throw TensorError(.argument, "randint", "argument 2 (high) is a list of sizes, and so is argument 3 (size)")
        }
      },
      TensorOperation(
        "randperm", "The whole numbers 1 to n in random order: positions, which count from 1.", Take.integer("n"), Take.dtype, grad,
        forms: .function, batching: .random(elementwise: false)
      ) { n, dtype, grad in
        try made(Binary.add(Tensor.randperm(n), .integer(1)).to(dtype ?? .int64), grad)
      },
      TensorOperation(
        "normal", "Normally distributed numbers.", Take.number("mean"), Take.number("std"), size, Take.dtype, grad, forms: .function,
        batching: .random(elementwise: true)
      ) { mean, std, size, dtype, grad in
        try made(Tensor(uninitialized: Shape(size, operation: "normal"), dtype ?? .defaultFloating).normal(mean: mean, std: std), grad)
      },
      TensorOperation("bernoulli", "0 or 1, being 1 with each element's probability.", Take.input, batching: .random(elementwise: true)) {
        .tensor(try $0.bernoulli())
      },
      TensorOperation(
        "uniform_", "Fills the tensor uniformly from [from, to).", Take.input, Take.number("from", default: 0),
        Take.number("to", default: 1),
        forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.uniform(from: $1, to: $2)) },
      TensorOperation(
        "bernoulli_", "Fills the tensor with ones and zeros, ones with a probability or one for each element.", Take.input,
        Take.optionalOperand("p"), forms: .method, batching: .random(elementwise: true)
      ) { x, p in
        switch p {
        case .tensor(let p): .tensor(try x.bernoulli(p))
        case .number(let p): .tensor(try x.bernoulli(p.real))
        case nil: .tensor(try x.bernoulli(0.5))
        }
      },
      TensorOperation(
        "exponential_", "Fills the tensor with exponentially distributed numbers of the rate lambd.", Take.input,
        Take.number("lambd", default: 1), forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.exponential($1)) },
      TensorOperation(
        "cauchy_", "Fills the tensor with numbers of Cauchy's distribution.", Take.input, Take.number("median", default: 0),
        Take.number("sigma", default: 1), forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.cauchy(median: $1, sigma: $2)) },
      TensorOperation(
        "log_normal_", "Fills the tensor with powers of e whose exponents are normally distributed.", Take.input,
        Take.number("mean", default: 1), Take.number("std", default: 2), forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.logNormal(mean: $1, std: $2)) },
      TensorOperation(
        "geometric_", "Fills the tensor with counts of tosses until a coin of probability p shows its head.", Take.input,
        Take.number("p"), forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.geometric($1)) },
      TensorOperation(
        "random_",
        "Fills the tensor with whole numbers from `from` up to, not including, `to`; random_(to) starts at 0, random_() takes all there are.",
        Take.input, Take.optionalInteger("from"), Take.optionalInteger("to"), forms: .method, batching: .random(elementwise: true)
      ) { x, from, to in
        switch (from, to) {
        case (nil, nil): .tensor(try x.drawIntegers())
        case (let from?, let to?): .tensor(try x.drawIntegers(from, to))
        case (let bound?, nil), (nil, let bound?): .tensor(try x.drawIntegers(0, bound))
        }
      },
      TensorOperation(
        "randint_like", "Whole numbers from low up to, not including, high, in the input's shape and dtype; one bound alone is high.",
        Take.input, Take.optionalInteger("low"), Take.optionalInteger("high"), Take.dtype, grad, forms: .function,
        batching: .random(elementwise: true)
      ) { model, low, high, dtype, grad in
        guard let end = high ?? low else { throw TensorError(.argument, "randint_like", "a bound is needed") }
        let result = try Tensor(uninitialized: model.shape, dtype ?? model.dtype)
        return try made(result.drawIntegers(high == nil ? 0 : low ?? 0, end, "randint_like"), grad)
      },
      TensorOperation(
        "poisson", "Counts of Poisson's distribution, each at its own rate.", Take.input, forms: .function,
        batching: .random(elementwise: true)
      ) {
        .tensor(try $0.poisson())
      },
      TensorOperation(
        "multinomial", "Positions drawn by the relative probabilities of a vector, or of each row.", Take.input,
        Take.integer("num_samples"), Take.flag("replacement", default: false), batching: .random(elementwise: false)
      ) { .indices(try $0.multinomial($1, replacement: $2)) },
      TensorOperation(
        "normal_", "Fills the tensor with normally distributed numbers.", Take.input, Take.number("mean", default: 0),
        Take.number("std", default: 1), forms: .method, batching: .random(elementwise: true)
      ) { .tensor(try $0.normal(mean: $1, std: $2)) },
    ]
}
