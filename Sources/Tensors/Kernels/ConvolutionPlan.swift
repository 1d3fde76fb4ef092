// Convolutions of float32 by oneDNN: plans, which are made once for each geometry and kept, and their execution. A plan is for one
// thread, and our pool shares the images of a batch: oneDNN's own OpenMP barrier costs milliseconds as soon as another
// process wants a core.

import CKernels
import COneDNN
import Synchronization

/// A convolution's sizes, whichever of its three tensors is computed.
struct ConvolutionSizes: Hashable, Sendable {
  var batch, groups: Int
  /// Channels of the image, and of what the windows become; all groups together.
  var inputs, outputs: Int
  var windows: Windows

  /// Multiplications and additions; of more than can be counted, as many as can be.
  var operations: Int {
    let rows = Double(batch) * Double(outputs) * Double(windows.places)
    return Int(Swift.min(2 * rows * Double(inputs / groups) * Double(windows.taps), 1e18))
  }
  var weights: Int { outputs * (inputs / groups) * windows.taps }
}

/// Which of a convolution's three tensors is computed of the two others: it is linear in each.
enum ConvolutionRole: UInt8, Sendable {
  case output, input, weight
}

/// One primitive, and the orders of elements in which it wants its operands.
final class ConvolutionPlan: @unchecked Sendable {
  /// An operand: how it lies in our memory, how the primitive wants it, and the primitive that brings it there; nil where it lies
  /// so.
  struct Side {
    let argument: Int32
    let plain, wanted: dnnl_memory_desc_t
    let reorder: dnnl_primitive_t?
    /// Bytes in the wanted order, a multiple of 64; 0 where no copy is needed.
    let bytes: Int
  }

  fileprivate let primitive: dnnl_primitive_t
  fileprivate let scratch: dnnl_memory_desc_t
  let scratchBytes: Int
  /// What is read, in the order image, weight, result where they are; and what is written.
  let first, second, result: Side
  fileprivate let bias: dnnl_memory_desc_t?

  // Plans are kept until the process ends, or until there are too many.
  deinit {
    dnnl_primitive_destroy(primitive)
    for side in [first, second, result] { if let reorder = side.reorder { dnnl_primitive_destroy(reorder) } }
  }

  /// oneDNN lets threads share engines.
  nonisolated(unsafe) fileprivate static let engine: dnnl_engine_t? = {
    var engine: dnnl_engine_t?
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
  }()

  // MARK: Making

  struct Key: Hashable {
    let role: ConvolutionRole
    let hasBias: Bool
    /// Those of one task.
    let sizes: ConvolutionSizes
    /// Sizes of the whole tensors, by which a task's part of an image is strided.
    let inputs, outputs: Int
    let input, output: [Int]

    init(role: ConvolutionRole, hasBias: Bool, sizes: ConvolutionSizes, whole: ConvolutionSizes) {
      (self.role, self.hasBias, self.sizes) = (role, hasBias, sizes)
      (inputs, outputs, input, output) = (whole.inputs, whole.outputs, whole.windows.input, whole.windows.output)
    }
  }

  private static let kept = Mutex<[Key: ConvolutionPlan?]>([:])
  /// As many geometries as large models have, with room for several batch sizes.
  private static let most = 1024

  /// The plan for those sizes; nil where oneDNN has none.
  static func plan(_ key: Key) -> ConvolutionPlan? {
    if let found = kept.withLock({ $0[key] }) { return found }
    let made = ConvolutionPlan(key)
    kept.withLock { plans in
      if plans.count >= most { plans.removeAll() }
      plans[key] = .some(made)
    }
    return made
  }

  private static func described(_ sizes: [Int], strides: [Int]? = nil) -> dnnl_memory_desc_t? {
    var result = dnnl_memory_desc_t()
    var dims = sizes.map(Int64.init)
    if let strides {
      var steps = strides.map(Int64.init)
      return dnnl_memory_desc_init_by_strides(&result, Int32(sizes.count), &dims, dnnl_f32, &steps) == dnnl_success ? result : nil
    }
    return dnnl_memory_desc_init_by_tag(&result, Int32(sizes.count), &dims, dnnl_f32, dnnl_format_tag_any) == dnnl_success
      ? result : nil
  }

  private static func rowMajor(_ sizes: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: sizes.count)
    for dimension in (0..<sizes.count - 1).reversed() { strides[dimension] = strides[dimension + 1] * sizes[dimension + 1] }
    return strides
  }

  private init?(_ key: Key) {
    omp_set_num_threads(1)
    let (sizes, windows) = (key.sizes, key.sizes.windows)
    let image = [sizes.batch, sizes.inputs] + windows.input
    let output = [sizes.batch, sizes.outputs] + windows.output
    let perGroup = [sizes.outputs / sizes.groups, sizes.inputs / sizes.groups]
    let weight = (sizes.groups > 1 ? [sizes.groups] : []) + perGroup + windows.kernel
    let imageStrides = ConvolutionPlan.rowMajor([sizes.batch, key.inputs] + key.input)
    let outputStrides = ConvolutionPlan.rowMajor([sizes.batch, key.outputs] + key.output)
    // Of a part of the channels that are read, rows are farther apart.
    var weightStrides = ConvolutionPlan.rowMajor(weight)
    if sizes.groups == 1 { weightStrides[0] = key.inputs * windows.taps }
    guard let engine = ConvolutionPlan.engine, var anyImage = ConvolutionPlan.described(image),
      var anyOutput = ConvolutionPlan.described(output), var anyWeight = ConvolutionPlan.described(weight),
      let plainImage = ConvolutionPlan.described(image, strides: imageStrides),
      let plainOutput = ConvolutionPlan.described(output, strides: outputStrides),
      let plainWeight = ConvolutionPlan.described(weight, strides: weightStrides)
    else { return nil }
    var strides = windows.stride.map(Int64.init)
    var dilation = windows.dilation.map { Int64($0 - 1) }
    var before = windows.padding.map(Int64.init)
    var after = (0..<windows.rank).map { dimension in
      let reach = windows.dilation[dimension] * (windows.kernel[dimension] - 1) + 1
      return Int64(
        (windows.output[dimension] - 1) * windows.stride[dimension] + reach - windows.input[dimension] - windows.padding[dimension])
    }
    var description = dnnl_convolution_desc_t()
    var status: dnnl_status_t
    var biasDescription: dnnl_memory_desc_t?
    switch key.role {
    case .output:
      if key.hasBias {
        guard var bias = ConvolutionPlan.described([sizes.outputs], strides: [1]) else { return nil }
        biasDescription = bias
        status = dnnl_dilated_convolution_forward_desc_init(
          &description, dnnl_forward_inference, dnnl_convolution_direct, &anyImage, &anyWeight, &bias, &anyOutput, &strides, &dilation,
          &before, &after)
      } else {
        status = dnnl_dilated_convolution_forward_desc_init(
          &description, dnnl_forward_inference, dnnl_convolution_direct, &anyImage, &anyWeight, nil, &anyOutput, &strides, &dilation,
          &before, &after)
      }
    case .input:
      status = dnnl_dilated_convolution_backward_data_desc_init(
        &description, dnnl_convolution_direct, &anyImage, &anyWeight, &anyOutput, &strides, &dilation, &before, &after)
    case .weight:
      status = dnnl_dilated_convolution_backward_weights_desc_init(
        &description, dnnl_convolution_direct, &anyImage, &anyWeight, nil, &anyOutput, &strides, &dilation, &before, &after)
    }
    guard status == dnnl_success else { return nil }
    var attributes: dnnl_primitive_attr_t?
    guard dnnl_primitive_attr_create(&attributes) == dnnl_success else { return nil }
    defer { dnnl_primitive_attr_destroy(attributes) }
    // Its scratch is ours, so that threads can share the primitive.
    guard dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user) == dnnl_success else { return nil }
    // Backward needs a forward primitive as a hint, of the same sizes.
    var hint: dnnl_primitive_desc_t?
    defer { if let hint { dnnl_primitive_desc_destroy(hint) } }
    if key.role != .output {
      var forward = dnnl_convolution_desc_t()
      guard
        dnnl_dilated_convolution_forward_desc_init(
          &forward, dnnl_forward_training, dnnl_convolution_direct, &anyImage, &anyWeight, nil, &anyOutput, &strides, &dilation, &before,
          &after) == dnnl_success, dnnl_primitive_desc_create(&hint, &forward, nil, engine, nil) == dnnl_success
      else { return nil }
    }
    var plan: dnnl_primitive_desc_t?
    guard dnnl_primitive_desc_create(&plan, &description, attributes, engine, hint) == dnnl_success, let plan else { return nil }
    defer { dnnl_primitive_desc_destroy(plan) }
    var made: dnnl_primitive_t?
    guard dnnl_primitive_create(&made, plan) == dnnl_success, let made else { return nil }

    func side(_ argument: Int32, _ query: dnnl_query_t, _ plain: dnnl_memory_desc_t, isResult: Bool = false) -> Side? {
      guard let found = dnnl_primitive_desc_query_md(plan, query, 0) else { return nil }
      var (plain, wanted) = (plain, found.pointee)
      if dnnl_memory_desc_equal(&plain, &wanted) != 0 {
        return Side(argument: argument, plain: plain, wanted: wanted, reorder: nil, bytes: 0)
      }
      var order: dnnl_primitive_desc_t?
      let status =
        isResult
        ? dnnl_reorder_primitive_desc_create(&order, &wanted, engine, &plain, engine, nil)
        : dnnl_reorder_primitive_desc_create(&order, &plain, engine, &wanted, engine, nil)
      guard status == dnnl_success, let order else { return nil }
      defer { dnnl_primitive_desc_destroy(order) }
      var reorder: dnnl_primitive_t?
      guard dnnl_primitive_create(&reorder, order) == dnnl_success else { return nil }
      return Side(
        argument: argument, plain: plain, wanted: wanted, reorder: reorder, bytes: (dnnl_memory_desc_get_size(&wanted) + 63) / 64 * 64)
    }
    let sides: (Side?, Side?, Side?)
    switch key.role {
    case .output:
      sides = (
        side(DNNL_ARG_SRC, dnnl_query_src_md, plainImage), side(DNNL_ARG_WEIGHTS, dnnl_query_weights_md, plainWeight),
        side(DNNL_ARG_DST, dnnl_query_dst_md, plainOutput, isResult: true)
      )
    case .input:
      sides = (
        side(DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, plainOutput), side(DNNL_ARG_WEIGHTS, dnnl_query_weights_md, plainWeight),
        side(DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md, plainImage, isResult: true)
      )
    case .weight:
      sides = (
        side(DNNL_ARG_SRC, dnnl_query_src_md, plainImage), side(DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md, plainOutput),
        side(DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md, plainWeight, isResult: true)
      )
    }
    guard let first = sides.0, let second = sides.1, let result = sides.2 else {
      dnnl_primitive_destroy(made)
      for side in [sides.0, sides.1, sides.2] { if let reorder = side?.reorder { dnnl_primitive_destroy(reorder) } }
      return nil
    }
    primitive = made
    (self.first, self.second, self.result) = (first, second, result)
    bias = biasDescription
    var scratch = dnnl_memory_desc_t()
    if let found = dnnl_primitive_desc_query_md(plan, dnnl_query_scratchpad_md, 0) { scratch = found.pointee }
    self.scratch = scratch
    scratchBytes = (dnnl_memory_desc_get_size(&scratch) + 63) / 64 * 64
  }

  // MARK: Running

  /// Brings an operand into the order that is wanted.
  func reorder(_ side: Side, _ x: UnsafeMutableRawPointer, into y: UnsafeMutableRawPointer) -> dnnl_status_t {
    guard let reorder = side.reorder else { return dnnl_success }
    return Execution().run(reorder, [(DNNL_ARG_FROM, side.plain, x), (DNNL_ARG_TO, side.wanted, y)])
  }

  /// Computes the result of operands in the wanted orders, by way of `room` for a result in another order, and then `scratch`.
  func run(
    _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, bias: UnsafeMutableRawPointer?, into y: UnsafeMutableRawPointer,
    room: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) -> dnnl_status_t {
    omp_set_num_threads(1)
    let execution = Execution()
    let target = result.reorder == nil ? y : room
    var operands = [(first.argument, first.wanted, a), (second.argument, second.wanted, b), (result.argument, result.wanted, target)]
    if let bias, let description = self.bias { operands.append((DNNL_ARG_BIAS, description, bias)) }
    if scratchBytes > 0 { operands.append((DNNL_ARG_SCRATCHPAD, self.scratch, scratch)) }
    let status = execution.run(primitive, operands)
    guard status == dnnl_success, let reorder = result.reorder else { return status }
    return execution.run(reorder, [(DNNL_ARG_FROM, result.wanted, room), (DNNL_ARG_TO, result.plain, y)])
  }

  /// One thread's stream.
  private final class Execution {
    private var stream: dnnl_stream_t?

    init() { _ = dnnl_stream_create(&stream, ConvolutionPlan.engine, UInt32(dnnl_stream_default_flags.rawValue)) }
    deinit { if let stream { dnnl_stream_destroy(stream) } }

    func run(_ primitive: dnnl_primitive_t, _ operands: [(Int32, dnnl_memory_desc_t, UnsafeMutableRawPointer)]) -> dnnl_status_t {
      var arguments: [dnnl_exec_arg_t] = []
      defer { for argument in arguments { dnnl_memory_destroy(argument.memory) } }
      for (kind, description, pointer) in operands {
        var (memory, description): (dnnl_memory_t?, dnnl_memory_desc_t) = (nil, description)
        let status = dnnl_memory_create(&memory, &description, ConvolutionPlan.engine, pointer)
        guard status == dnnl_success, let memory else { return status }
        arguments.append(dnnl_exec_arg_t(arg: kind, memory: memory))
      }
      let status = dnnl_primitive_execute(primitive, stream, Int32(arguments.count), arguments)
      return status == dnnl_success ? dnnl_stream_wait(stream) : status
    }
  }
}
