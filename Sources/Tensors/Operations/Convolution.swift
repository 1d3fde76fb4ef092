// Convolutions and transposed ones, over one to three dimensions.
//
// A convolution has three tensors: images, weights and what becomes of them. Each of the three is bilinear in the two others, and
// the derivative of one is another; so one operation, that is told which of them it computes, is all of its derivatives.

import CKernels

/// What the functions are told beside their tensors, for one to three dimensions.
struct ConvolutionOptions {
  var stride: [Int] = [1]
  var padding: SizesOrName = .sizes([0])
  var dilation: [Int] = [1]
  var groups = 1
  var outputPadding: [Int] = [0]
}

extension Array where Element == Int {
  /// One number for each of `rank` dimensions, each at least `least`.
  func spread(_ rank: Int, _ name: String, _ operation: String, least: Int) throws -> [Int] {
    guard count == 1 || count == rank else {
      throw TensorError(
        .argument, operation, "\(name) must be a whole number or a list of \(rank), got \(count == 0 ? "an empty list" : "\(self)")")
    }
    for number in self where number < least || number > 1 << 30 {
      throw TensorError(
        .argument, operation, "\(name) must be \(number > 0 ? "less than 2^30" : least == 0 ? "at least 0" : "at least 1"), got \(number)")
    }
    return count == rank ? self : [Int](repeating: self[0], count: rank)
  }
}

extension Tensor {
  /// A batch of what has `rank` dimensions with channels in front: itself, or a batch of one, which `body`'s result is taken out of.
  func batched(_ rank: Int, _ operation: String, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    guard self.rank == rank + 1 || self.rank == rank + 2 else {
      throw TensorError(
        .shape, operation,
        "the input must be (channels, \(Tensor.dimensionNames(rank))) or (batch, channels, \(Tensor.dimensionNames(rank))), got shape \(shape)"
      )
    }
    for size in shape.array where size > 1 << 40 {
      throw TensorError(.memory, operation, "an input of shape \(shape) is larger than can be computed with")
    }
    return try self.rank == rank + 1 ? body(unsqueeze(0)).squeeze([0]) : body(self)
  }

  static func dimensionNames(_ rank: Int) -> String { ["length", "height, width", "depth, height, width"][rank - 1] }

  private func checkConvolution(_ weight: Tensor, _ bias: Tensor?, _ rank: Int, _ groups: Int, transposed: Bool, _ operation: String) throws
  {
    guard dtype == weight.dtype, bias == nil || bias?.dtype == dtype else {
      throw TensorError(
        .dtype, operation,
        "input, weight and bias must have one dtype, got \(dtype), \(weight.dtype)\(bias.map { " and \($0.dtype)" } ?? "")")
    }
    guard dtype != .bool else { throw TensorError(.dtype, operation, "not defined for tensors of bool") }
    guard weight.rank == rank + 2 else {
      let channels = transposed ? "in_channels, out_channels / groups" : "out_channels, in_channels / groups"
      throw TensorError(
        .shape, operation, "the weight must be (\(channels), \(Tensor.dimensionNames(rank))), got shape \(weight.shape)")
    }
    guard groups > 0, weight.shape[0] % groups == 0, weight.shape[0] > 0 else {
      throw TensorError(
        .argument, operation,
        "groups must be positive and divide the weight's first size, got \(groups) and a weight of shape \(weight.shape)")
    }
    for dimension in 2..<weight.rank where weight.shape[dimension] < 1 || weight.shape[dimension] > 1 << 30 {
      throw TensorError(.shape, operation, "the windows of a weight of shape \(weight.shape) are empty, or too large")
    }
    let wanted = transposed ? weight.shape[0] : weight.shape[1] * groups
    guard shape[1] == wanted else {
      throw TensorError(
        .shape, operation,
        "the input of shape \(shape) has \(shape[1]) channels, but a weight of shape \(weight.shape) and \(groups == 1 ? "1 group" : "\(groups) groups") expect \(wanted)"
      )
    }
    let channels = transposed ? weight.shape[1] * groups : weight.shape[0]
    if let bias, bias.shape != Shape(size: channels) {
      throw TensorError(.shape, operation, "the bias must have shape [\(channels)], got \(bias.shape)")
    }
  }

  /// The convolution over `rank` dimensions: sums of windows of an input `(batch, channels, …)`, or one without the batch, times a
  /// weight `(out, channels / groups, …)`, plus a bias `(out)`.
  func convolution(_ weight: Tensor, _ bias: Tensor?, _ options: ConvolutionOptions, rank: Int, _ operation: String) throws -> Tensor {
    let stride = try options.stride.spread(rank, "stride", operation, least: 1)
    let dilation = try options.dilation.spread(rank, "dilation", operation, least: 1)
    return try batched(rank, operation) { x in
      try x.checkConvolution(weight, bias, rank, options.groups, transposed: false, operation)
      var (x, padding) = (x, [Int](repeating: 0, count: rank))
      switch options.padding {
      case .sizes(let sizes): padding = try sizes.spread(rank, "padding", operation, least: 0)
      case .name("valid"): break
      case .name("same"):
        guard stride.allSatisfy({ $0 == 1 }) else {
          throw TensorError(.argument, operation, "padding \"same\" needs a stride of 1, got \(stride)")
        }
        // Where windows have no middle, what is beyond is one more after the image than before it.
        var more = [Int](repeating: 0, count: 2 * rank)
        for dimension in 0..<rank {
          let total = dilation[dimension] * (weight.shape[dimension + 2] - 1)
          padding[dimension] = total / 2
          more[2 * (rank - 1 - dimension) + 1] = total % 2
        }
        if more.contains(1) { x = try x.padded(more, .integer(0), operation) }
      case .name(let name):
        throw TensorError(.argument, operation, "padding must be numbers, \"same\" or \"valid\", got \"\(name)\"")
      }
      var windows = Windows(
        input: Array(x.shape.array[2...]), kernel: Array(weight.shape.array[2...]), output: [], stride: stride, padding: padding,
        dilation: dilation)
      windows.output = try (0..<rank).map { dimension in
        guard
          let places = Windows.places(
            windows.input[dimension], kernel: windows.kernel[dimension], stride: stride[dimension], padding: padding[dimension],
            dilation: dilation[dimension])
        else {
          throw TensorError(
            .shape, operation,
            "windows of \(windows.kernel) with dilation \(dilation) do not fit into an input of shape \(x.shape) with padding \(padding)")
        }
        return places
      }
      let sizes = ConvolutionSizes(
        batch: x.shape[0], groups: options.groups, inputs: x.shape[1], outputs: weight.shape[0], windows: windows)
      return try Convolution(.output, sizes, hasBias: bias != nil).applied(x, weight, bias, operation)
    }
  }

  /// The transposed convolution over `rank` dimensions, which is the gradient of one by its input: an input `(batch, channels, …)`
  /// spread by windows of a weight `(channels, out / groups, …)`.
  func transposedConvolution(_ weight: Tensor, _ bias: Tensor?, _ options: ConvolutionOptions, rank: Int, _ operation: String) throws
    -> Tensor
  {
    let stride = try options.stride.spread(rank, "stride", operation, least: 1)
    let dilation = try options.dilation.spread(rank, "dilation", operation, least: 1)
    let outputPadding = try options.outputPadding.spread(rank, "output_padding", operation, least: 0)
    guard case .sizes(let given) = options.padding else {
      throw TensorError(.argument, operation, "padding must be a whole number or a list of them")
    }
    let padding = try given.spread(rank, "padding", operation, least: 0)
    for dimension in 0..<rank where outputPadding[dimension] >= Swift.max(stride[dimension], dilation[dimension]) {
      throw TensorError(
        .argument, operation,
        "output_padding must be smaller than stride or dilation, got \(outputPadding) with stride \(stride) and dilation \(dilation)")
    }
    return try batched(rank, operation) { x in
      try x.checkConvolution(weight, bias, rank, options.groups, transposed: true, operation)
      var windows = Windows(
        input: [], kernel: Array(weight.shape.array[2...]), output: Array(x.shape.array[2...]), stride: stride, padding: padding,
        dilation: dilation)
      windows.input = try (0..<rank).map { dimension in
        let (spread, overflow) = (windows.output[dimension] - 1).multipliedReportingOverflow(by: stride[dimension])
        let size = overflow || spread > 1 << 60 ? 1 << 60 : spread
        let all = size - 2 * padding[dimension] + dilation[dimension] * (windows.kernel[dimension] - 1) + outputPadding[dimension] + 1
        guard windows.output[dimension] > 0, all > 0 else {
          throw TensorError(
            .shape, operation, "an input of shape \(x.shape) with windows of \(windows.kernel) and padding \(padding) leaves nothing")
        }
        return all
      }
      let sizes = ConvolutionSizes(
        batch: x.shape[0], groups: options.groups, inputs: weight.shape[1] * options.groups, outputs: x.shape[1], windows: windows)
      let convolution = Convolution(.input, sizes, hasBias: bias != nil, outputPadding: outputPadding)
      return try convolution.applied(x, weight, bias, operation)
    }
  }
}

// MARK: On the tape

/// One of a convolution's three tensors, of the two others in the order image, weight, output.
private struct Convolution: Operation {
  private let role: ConvolutionRole
  private let sizes: ConvolutionSizes
  private let hasBias: Bool
  let stride, padding, dilation, outputPadding: [Int]
  let groups: Int
  let transposed: Bool

  init(_ role: ConvolutionRole, _ sizes: ConvolutionSizes, hasBias: Bool = false, outputPadding: [Int]? = nil) {
    (self.role, self.sizes, self.hasBias) = (role, sizes, hasBias)
    let windows = sizes.windows
    (stride, padding, dilation, groups) = (windows.stride, windows.padding, windows.dilation, sizes.groups)
    self.outputPadding = outputPadding ?? windows.stride.map { _ in 0 }
    transposed = role == .input
  }

  var tangentRule: TangentRule { .multilinear }
  var nodeName: String { role == .weight ? "ConvolutionBackwardBackward0" : "ConvolutionBackward0" }
  var hasEmptyEdge: Bool { !hasBias && role != .weight }
  var slotNames: KeyValuePairs<String, KeptSlot> { ["input": .input(0), "weight": .input(1)] }
  func uses(_ number: Int) -> Uses { number == 0 ? .b : number == 1 ? .a : .nothing }

  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) -> Int {
    (0..<2).reduce(0) { $0 + (wants($1) ? sizes.operations / 2 : 0) }
  }

  private func another(_ role: ConvolutionRole) -> Convolution { Convolution(role, sizes) }

  func gradient(_ c: inout Backward) throws {
    let g = c.g
    if c.needs(0) {
      switch role {
      case .output: c[0] = try another(.input).applied(g, c.b)
      case .input: c[0] = try another(.output).applied(g, c.b)
      case .weight: c[0] = try another(.input).applied(c.b, g)
      }
    }
    if c.needs(1) {
      switch role {
      case .output: c[1] = try another(.weight).applied(c.a, g)
      case .input: c[1] = try another(.weight).applied(g, c.a)
      case .weight: c[1] = try another(.output).applied(c.a, g)
      }
    }
    // Places first, which lie side by side.
    if hasBias, c.needs(2) { c[2] = try g.flatten(2).sum([2]).sum([0]) }
  }

  func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try applied(inputs[0], inputs[1], hasBias ? inputs[2] : nil)] }

  func applied(_ a: Tensor, _ b: Tensor, _ bias: Tensor? = nil, _ name: String = "convolution") throws -> Tensor {
    // Tangents pass a product and a sum, which have rules of their own.
    if let bias, TangentLevels.areInForce {
      let y = try Convolution(role, sizes, outputPadding: outputPadding).applied(a, b, nil, name)
      return try y + bias.reshape([-1] + stride.map { _ in 1 })
    }
    do {
      return try computed(a, b, bias).recorded(self, bias.map { [a, b, $0] } ?? [a, b])
    } catch let error as TensorError where error.operation == "convolution" {
      throw TensorError(error.kind, name, error.facts)
    }
  }

  private func computed(_ a: Tensor, _ b: Tensor, _ bias: Tensor?) throws -> Tensor {
    let dtype = a.dtype
    if dtype.isOnlyStored {
      let wide = dtype.computing
      return try computed(a.converted(to: wide), b.converted(to: wide), bias?.converted(to: wide)).converted(to: dtype)
    }
    let windows = sizes.windows
    let target: [Int]
    switch role {
    case .output: target = [sizes.batch, sizes.outputs] + windows.output
    case .input: target = [sizes.batch, sizes.inputs] + windows.input
    case .weight: target = [sizes.outputs, sizes.inputs / sizes.groups] + windows.kernel
    }
    let y = try Tensor(uninitialized: Shape(target, operation: "convolution"), dtype)
    let (first, second, added) = (try a.packed(), try b.packed(), try bias?.packed())
    var operands: ConvolutionOperands
    switch role {
    case .output: operands = ConvolutionOperands(image: first.data, weight: second.data, output: y.data, bias: added?.data)
    case .input: operands = ConvolutionOperands(image: y.data, weight: second.data, output: first.data)
    case .weight: operands = ConvolutionOperands(image: first.data, weight: y.data, output: second.data)
    }
    try Kernels.convolution(role, dtype, sizes, operands)
    withExtendedLifetime((first, second, added)) {}
    if role == .input, let added { _ = try withNoGrad { try Binary.add.inPlace(y, added.reshape([-1] + stride.map { _ in 1 })) } }
    if role == .input { y.storage.version = 0 }
    return y
  }
}

// MARK: The list

enum Convolutions {
  private static let stride = Take.sizes("stride", default: 1)
  private static let padding = Take.sizes("padding", default: 0)
  private static let groups = Take.integer("groups", default: 1)
  private static let dilation = Take.sizes("dilation", default: 1)
  /// Weights by which sums stay near 1, where PyTorch rounds halves between terms.
  private static let small = -0.5...0.5

  private static func convolution(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "conv\(rank)d"
    let sizes = Tensor.dimensionNames(rank)
    return TensorOperation(
      name,
      "Windows of an input (batch, channels, \(sizes)), with or without the batch, times a weight (out, channels / groups, \(sizes)), plus a bias (out). padding may be \"same\" or \"valid\".",
      Take.input, Take.tensor("weight"), Take.optionalTensor("bias"), stride, Take.sizesOrName("padding", default: 0), dilation, groups,
      forms: [.function, .functional], samples: samples, rejects: rejects, batching: .convolution(rank)
    ) { x, weight, bias, stride, padding, dilation, groups in
      let options = ConvolutionOptions(stride: stride, padding: padding, dilation: dilation, groups: groups)
      return .tensor(try x.convolution(weight, bias, options, rank: rank, name))
    }
  }

  private static func transposed(_ rank: Int, samples: [Sample], rejects: [Sample]) -> TensorOperation {
    let name = "conv_transpose\(rank)d"
    let sizes = Tensor.dimensionNames(rank)
    return TensorOperation(
      name,
      "An input (batch, channels, \(sizes)), with or without the batch, spread by windows of a weight (channels, out / groups, \(sizes)), plus a bias (out): what conv\(rank)d does to gradients.",
      Take.input, Take.tensor("weight"), Take.optionalTensor("bias"), stride, padding, Take.sizes("output_padding", default: 0), groups,
      dilation, forms: [.function, .functional], samples: samples, rejects: rejects, batching: .convolution(rank)
    ) { x, weight, bias, stride, padding, outputPadding, groups, dilation in
      let options = ConvolutionOptions(
        stride: stride, padding: .sizes(padding), dilation: dilation, groups: groups, outputPadding: outputPadding)
      return .tensor(try x.transposedConvolution(weight, bias, options, rank: rank, name))
    }
  }

  static let list: [TensorOperation] = [
    convolution(
      1,
      samples: [
        [.float(2, 3, 7), .float(4, 3, 3), .float(4)],
        [.float(3, 7), .float(2, 3, 2), .absent, .integer(2), .integer(1)],
        [.float(2, 4, 9), .float(2, 2, 3), .float(2), .integer(1), .list([2]), .list([2]), .integer(2)],
        [.float(1, 2, 6), .float(2, 2, 4), .float(2), .integer(1), .text("same")],
        [.float(1, 1, 5), .float(1, 1, 5), .absent, .integer(1), .text("valid")],
        [.float(0, 2, 5), .float(3, 2, 3), .float(3)],
      ],
      rejects: [
        [.float(2, 3, 7), .float(4, 2, 3)], [.float(2, 3, 2), .float(4, 3, 3)], [.float(2, 3, 4, 5), .float(4, 3, 3)],
        [.float(2, 3, 7), .float(4, 3, 3), .float(3)], [.float(2, 3, 7), .float(4, 3, 3), .absent, .integer(0)],
        [.float(2, 3, 7), .float(4, 3, 3), .absent, .integer(1), .integer(-1)],
        [.float(2, 3, 7), .float(4, 3, 3), .absent, .integer(2), .text("same")],
        [.float(2, 3, 7), .float(4, 3, 3), .absent, .integer(1), .text("full")],
        [.float(2, 3, 7), .float(4, 3, 3), .absent, .integer(1), .integer(0), .integer(1), .integer(3)],
        [.float(2, 3, 7), .float(4, 3, 3), .absent, .list([1, 2])],
      ]),
    convolution(
      2,
      samples: [
        [.float(2, 2, 4, 5), .float(3, 2, 3, 2), .float(3)],
        [.float(2, 5, 4), .float(2, 2, 3, 3), .absent, .list([2, 1]), .list([1, 2])],
        [.float(1, 4, 5, 5), .float(4, 2, 2, 2), .float(4), .integer(1), .integer(1), .list([2, 1]), .integer(2)],
        [.float(1, 3, 5, 4), .float(3, 1, 3, 3), .float(3), .integer(2), .integer(1), .integer(1), .integer(3)],
        [.float(1, 1, 4, 5), .float(2, 1, 2, 3), .absent, .integer(1), .text("same"), .list([1, 2])],
        [.float(2, 3, 3, 3), .float(2, 3, 1, 1), .float(2)], [.float(0, 2, 4, 4), .float(2, 2, 3, 3), .float(2)],
        [.float(1, 1, 3, 6), .float(2, 1, 1, 4), .absent, .list([3, 2]), .list([0, 3])],
      ],
      rejects: [
        [.float(2, 2, 4, 5), .float(3, 3, 3, 2)], [.float(2, 2, 2, 5), .float(3, 2, 3, 2)], [.float(4, 5), .float(3, 2, 3, 2)],
        [.float(2, 2, 4, 5), .float(2, 3, 2)], [.float(2, 2, 4, 5), .float(3, 2, 3, 2), .float(2)],
        [.float(2, 2, 4, 5), .float(3, 2, 3, 2), .absent, .integer(1), .list([1, 1, 1])],
        [.float(2, 2, 4, 5), .float(3, 2, 3, 2), .absent, .integer(1), .integer(0), .integer(0)],
        [.float(2, 2, 4, 5), .float(3, 2, 3, 2), .absent, .integer(1), .integer(0), .integer(1), .integer(0)],
      ]),
    convolution(
      3,
      samples: [
        [.float(1, 2, 3, 4, 3), .float(2, 2, 2, 2, 2), .float(2)],
        [.float(2, 3, 3, 4), .float(2, 1, 2, 3, 1), .absent, .list([1, 2, 2]), .list([1, 0, 1]), .list([2, 1, 1]), .integer(2)],
        [.float(1, 1, 2, 3, 3), .float(1, 1, 2, 3, 2), .float(1), .integer(1), .text("same")],
      ],
      rejects: [
        [.float(1, 2, 3, 4, 3), .float(2, 3, 2, 2, 2)], [.float(1, 2, 3, 4, 3), .float(2, 2, 4, 2, 2)],
        [.float(3, 4, 3), .float(2, 2, 2, 2, 2)],
      ]),
    transposed(
      1,
      samples: [
        [.float(2, 3, 5), .float([3, 2, 3], small), .float(2)],
        [.float(4, 4), .float([4, 1, 3], small), .absent, .integer(2), .integer(1), .integer(1), .integer(2)],
        [.float(1, 2, 4), .float([2, 3, 2], small), .float(3), .list([3]), .list([0]), .list([2]), .integer(1), .list([2])],
        [.float(0, 2, 4), .float([2, 3, 2], small), .float(3)],
      ],
      rejects: [
        [.float(2, 3, 5), .float(2, 3, 3)], [.float(2, 3, 5), .float(3, 2, 3), .float(3)],
        [.float(2, 3, 5), .float(3, 2, 3), .absent, .integer(1), .integer(0), .integer(1)],
        [.float(2, 3, 1), .float(3, 2, 2), .absent, .integer(1), .integer(1)],
      ]),
    transposed(
      2,
      samples: [
        [.float(2, 3, 3, 4), .float([3, 2, 2, 3], small), .float(2)],
        [.float(2, 3, 3), .float([2, 2, 3, 3], small), .absent, .list([2, 1]), .list([1, 0]), .list([1, 0])],
        [.float(1, 4, 3, 2), .float([4, 2, 2, 2], small), .float(4), .integer(2), .integer(0), .integer(1), .integer(2), .list([1, 2])],
      ],
      rejects: [
        [.float(2, 3, 3, 4), .float(2, 3, 2, 3)], [.float(2, 3, 3, 4), .float(3, 2, 2)],
        [.float(2, 3, 3, 4), .float(3, 2, 2, 3), .absent, .integer(2), .integer(0), .integer(2)],
      ]),
    transposed(
      3,
      samples: [
        [.float(1, 2, 2, 3, 2), .float([2, 2, 2, 2, 2], small), .float(2)],
        [
          .float(2, 2, 2, 3), .float([2, 1, 1, 2, 3], small), .absent, .list([1, 2, 2]), .list([0, 1, 0]), .list([0, 1, 1]), .integer(2),
        ],
      ], rejects: [[.float(1, 2, 2, 3, 2), .float(3, 2, 2, 2, 2)]]),
  ]
}
