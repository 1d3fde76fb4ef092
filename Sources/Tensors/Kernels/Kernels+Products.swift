// Launches of matrix products: which library computes one is decided here.

import CKernels
import COneDNN

extension Kernels {
  /// A row-major matrix in memory: where, the distance of its rows, and whether the product takes it transposed.
  struct Matrix {
    let pointer: UnsafeMutableRawPointer
    let leading: Int
    let transposed: Bool
  }

  /// Whether oneDNN, on one thread, is the faster one: measured on Zen 4, it is so by 1.4 to 2 times for one or two rows
  /// (or columns) against a large matrix that is read along its rows. Everywhere else our kernel is as fast or faster, takes the
  /// bias along, and its threads never wait for one another, where oneDNN's OpenMP barrier costs milliseconds as soon as
  /// another process wants a core.
  @inline(__always)
  private static func prefersOneDNN(_ m: Int, _ n: Int, _ k: Int, _ ta: Bool, _ tb: Bool) -> Bool {
    guard m <= 2 || n <= 2 else { return false }
    return !tb && (m <= 2 ? !ta : ta) && m &* n &* k >= 1 << 18
  }

  /// Matrices that lie `stride` elements apart.
  struct Batch {
    let first: Matrix
    let stride: Int
    /// Of an element, in bytes.
    let size: Int

    subscript(index: Int) -> Matrix {
      Matrix(pointer: first.pointer + index &* stride &* size, leading: first.leading, transposed: first.transposed)
    }
  }

  /// The products of each pair in two batches, m × k by k × n, one behind the other.
  static func products(
    _ dtype: DType, _ batches: Int, _ m: Int, _ n: Int, _ k: Int, _ a: Batch, _ b: Batch, into c: UnsafeMutableRawPointer
  )
    throws
  {
    if batches == 0 || m == 0 || n == 0 { return }
    let (ta, tb, lda, ldb) = (a.first.transposed, b.first.transposed, a.first.leading, b.first.leading)
    guard batches > 1, dtype == .float64 || dtype == .float32 && !prefersOneDNN(m, n, k, ta, tb) else {
      for index in 0..<batches {
        try product(dtype, m, n, k, a[index], b[index], into: c + index * m * n * dtype.size)
      }
      return
    }
    let (reachA, reachB) = (extent(m, k, lda, ta), extent(k, n, ldb, tb))
    var call = Launch(
      .product, dtype, .read(a.first.pointer, dtype, reachA == 0 ? 0 : (batches - 1) * a.stride + reachA),
      .read(b.first.pointer, dtype, reachB == 0 ? 0 : (batches - 1) * b.stride + reachB), nil, .write(c, dtype, batches * m * n))
    call.numbers = (Double(batches * m), Double(n), Double(k), (ta ? 1 : 0) + (tb ? 2 : 0))
    try launch(call) { call in
      guard let x = call.a?.pointer, let y = call.b?.pointer, let c = call.d?.pointer else { return }
      if call.dtype == .float32 {
        mg_gemm_batch_f32(
          Int64(batches), ta, tb, Int64(m), Int64(n), Int64(k), x.assumingMemoryBound(to: Float.self), Int64(lda), Int64(a.stride),
          y.assumingMemoryBound(to: Float.self), Int64(ldb), Int64(b.stride), c.assumingMemoryBound(to: Float.self))
      } else {
        mg_gemm_batch_f64(
          Int64(batches), ta, tb, Int64(m), Int64(n), Int64(k), x.assumingMemoryBound(to: Double.self), Int64(lda), Int64(a.stride),
          y.assumingMemoryBound(to: Double.self), Int64(ldb), Int64(b.stride), c.assumingMemoryBound(to: Double.self))
      }
    }
  }

  /// How many elements a matrix, as a product sees it, reaches over in memory.
  @inline(__always)
  private static func extent(_ rows: Int, _ columns: Int, _ leading: Int, _ transposed: Bool) -> Int {
    if rows == 0 || columns == 0 { return 0 }
    return transposed ? (columns - 1) * leading + rows : (rows - 1) * leading + columns
  }

  /// C = op(A) · op(B) (+ C), m × k by k × n, with `bias` added to every row. Whole numbers take no bias.
  @inline(__always)
  static func product(
    _ dtype: DType, _ m: Int, _ n: Int, _ k: Int, _ a: Matrix, _ b: Matrix, accumulate: Bool = false, bias: UnsafeMutableRawPointer? = nil,
    into c: UnsafeMutableRawPointer
  ) throws {
    if m == 0 || n == 0 { return }
    let (ta, tb, lda, ldb) = (a.transposed, b.transposed, a.leading, b.leading)
    var call = Launch(
      .product, dtype, .read(a.pointer, dtype, extent(m, k, lda, ta)), .read(b.pointer, dtype, extent(k, n, ldb, tb)),
      bias.map { .read($0, dtype, n) },
      accumulate ? .update(c, dtype, m * n) : .write(c, dtype, m * n))
    call.numbers = (Double(m), Double(n), Double(k), (ta ? 1 : 0) + (tb ? 2 : 0))
    if dtype == .bfloat16, !accumulate, m &* n &* k >= BrainProduct.least, BrainProduct.isAvailable {
      return try move(call) { _ in try BrainProduct(m: m, n: n, k: k, a: a, b: b, bias: bias, c: c).run() }
    }
    try launch(call) { call in
      guard let a = call.a?.pointer, let b = call.b?.pointer, let c = call.d?.pointer else { return }
      let bias = call.c?.pointer
      switch call.dtype {
      case .float32:
        let a = a.assumingMemoryBound(to: Float.self)
        let b = b.assumingMemoryBound(to: Float.self)
        let result = c.assumingMemoryBound(to: Float.self)
        guard prefersOneDNN(m, n, k, ta, tb) else {
          return mg_gemm_f32(
            ta, tb, Int64(m), Int64(n), Int64(k), a, Int64(lda), b, Int64(ldb), accumulate,
            bias?.assumingMemoryBound(to: Float.self), result, Int64(n))
        }
        omp_set_num_threads(1)
        let status = dnnl_sgemm(
          ta ? 84 : 78, tb ? 84 : 78, Int64(m), Int64(n), Int64(k), 1, a, Int64(lda), b, Int64(ldb), accumulate ? 1 : 0, result, Int64(n))
        guard status == dnnl_success else {
          throw TensorError(
            .memory, "matmul", "the product of \(m)×\(k) and \(k)×\(n) could not be computed: oneDNN says \(status.rawValue)")
        }
        if let bias { mg_add_row(call.code, Int64(m), Int64(n), bias, c) }
      case .float64:
        mg_gemm_f64(
          ta, tb, Int64(m), Int64(n), Int64(k), a.assumingMemoryBound(to: Double.self), Int64(lda),
          b.assumingMemoryBound(to: Double.self), Int64(ldb), accumulate, bias?.assumingMemoryBound(to: Double.self),
          c.assumingMemoryBound(to: Double.self), Int64(n))
      default:
        mg_gemm_int(call.code, ta, tb, Int64(m), Int64(n), Int64(k), a, Int64(lda), b, Int64(ldb), c, Int64(n))
      }
    }
  }
}
