// Products of bfloat16 by oneDNN, where the processor multiplies such numbers itself; elsewhere they are widened to float32.

import CKernels
import COneDNN

/// A product of row-major matrices of bfloat16, summed in float32 and rounded once.
struct BrainProduct {
  let m, n, k: Int
  let a, b: Kernels.Matrix
  /// n elements that are added to every row.
  let bias: UnsafeMutableRawPointer?
  let c: UnsafeMutableRawPointer

  /// Whether the processor has instructions for it.
  static let isAvailable: Bool = {
    let needed = dnnl_cpu_isa_avx512_core_bf16.rawValue
    return dnnl_get_effective_cpu_isa().rawValue & needed == needed
  }()

  /// Below this many multiplications making the call takes longer than they do.
  static let least = 1 << 18
  /// Rows that one thread takes at a time. oneDNN runs on the thread that calls it, and our pool has the others.
  private static let rows = 128

  /// oneDNN lets threads share engines.
  nonisolated(unsafe) private static let engine: dnnl_engine_t? = {
    var engine: dnnl_engine_t?
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success ? engine : nil
  }()

  func run() throws {
    struct Shared {
      let product: BrainProduct
      /// The first failure of any thread; which one that is does not matter.
      var status = dnnl_success
    }
    var shared = Shared(product: self)
    mg_parallel(
      Int64(m), Int64(BrainProduct.rows),
      { context, begin, end in
        let shared = context!.assumingMemoryBound(to: Shared.self)
        let status = shared.pointee.product.run(rows: Int(begin)..<Int(end))
        if status != dnnl_success { shared.pointee.status = status }
      }, &shared)
    guard shared.status == dnnl_success else {
      throw TensorError(
        .memory, "matmul", "the product of \(m)×\(k) and \(k)×\(n) could not be computed: oneDNN says \(shared.status.rawValue)")
    }
  }

  private func run(rows: Range<Int>) -> dnnl_status_t {
    omp_set_num_threads(1)
    var source = BrainProduct.description(rows.count, k, a)
    var weights = BrainProduct.description(k, n, b)
    var target = BrainProduct.description(rows.count, n, Kernels.Matrix(pointer: c, leading: n, transposed: false))
    var added = BrainProduct.description(1, n, Kernels.Matrix(pointer: c, leading: n, transposed: false))
    var product = dnnl_matmul_desc_t()
    var status =
      bias == nil
      ? dnnl_matmul_desc_init(&product, &source, &weights, nil, &target)
      : dnnl_matmul_desc_init(&product, &source, &weights, &added, &target)
    var plan: dnnl_primitive_desc_t?
    if status == dnnl_success { status = dnnl_primitive_desc_create(&plan, &product, nil, BrainProduct.engine, nil) }
    defer { dnnl_primitive_desc_destroy(plan) }
    var primitive: dnnl_primitive_t?
    if status == dnnl_success { status = dnnl_primitive_create(&primitive, plan) }
    defer { dnnl_primitive_destroy(primitive) }
    var stream: dnnl_stream_t?
    if status == dnnl_success { status = dnnl_stream_create(&stream, BrainProduct.engine, UInt32(dnnl_stream_default_flags.rawValue)) }
    defer { dnnl_stream_destroy(stream) }
    var arguments: [dnnl_exec_arg_t] = []
    defer { for argument in arguments { dnnl_memory_destroy(argument.memory) } }
    func give(_ kind: Int32, _ description: inout dnnl_memory_desc_t, _ pointer: UnsafeMutableRawPointer) {
      var memory: dnnl_memory_t?
      if status == dnnl_success { status = dnnl_memory_create(&memory, &description, BrainProduct.engine, pointer) }
      if let memory { arguments.append(dnnl_exec_arg_t(arg: kind, memory: memory)) }
    }
    let size = MemoryLayout<UInt16>.size
    give(DNNL_ARG_SRC, &source, a.pointer + rows.lowerBound * (a.transposed ? 1 : a.leading) * size)
    give(DNNL_ARG_WEIGHTS, &weights, b.pointer)
    if let bias { give(DNNL_ARG_BIAS, &added, bias) }
    give(DNNL_ARG_DST, &target, c + rows.lowerBound * n * size)
    if status == dnnl_success { status = dnnl_primitive_execute(primitive, stream, Int32(arguments.count), arguments) }
    if status == dnnl_success { status = dnnl_stream_wait(stream) }
    return status
  }

  private static func description(_ rows: Int, _ columns: Int, _ matrix: Kernels.Matrix) -> dnnl_memory_desc_t {
    var result = dnnl_memory_desc_t()
    var sizes = [Int64(rows), Int64(columns)]
    var strides = matrix.transposed ? [1, Int64(matrix.leading)] : [Int64(matrix.leading), 1]
    dnnl_memory_desc_init_by_strides(&result, 2, &sizes, dnnl_bf16, &strides)
    return result
  }
}
