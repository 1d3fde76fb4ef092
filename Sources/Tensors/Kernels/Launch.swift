// The door to the kernels: every one is reached through `Kernels.launch`, by a call that is plain data. A recorder stands
// here, another back end would answer here, and dtypes that only store elements are widened here.

import CKernels

/// One call of a kernel, as plain data.
package struct Launch: @unchecked Sendable {
  package enum Kernel: UInt8, Sendable {
    case unary, predicate, unaryWithNumbers, binary, compare, choose, convert, fill
    case reduce, anyOrAll, extremes, moments, logSumExp, norm, runningSum, runningProduct, softmax, softmaxGradient, sort
    case indexSelect, indexAdd, gather, scatter, scatterSum, positions
    case product, addRow, convolution
    case update
    /// One operation's own, see ``NamedKernel``.
    case named
  }

  /// What a kernel reads or writes: elements one after another, or strided ones that the nest knows by their number.
  package struct Operand: @unchecked Sendable {
    package var pointer: UnsafeMutableRawPointer?
    package let dtype: DType
    /// Elements; those of the nest for strided ones.
    package let count: Int
    /// The number of its strides in the nest.
    package let strides: Int?
    package let isRead, isWritten: Bool

    @inline(__always)
    static func read(_ pointer: UnsafeRawPointer?, _ dtype: DType, _ count: Int, strides: Int? = nil) -> Operand {
      Operand(
        pointer: UnsafeMutableRawPointer(mutating: pointer), dtype: dtype, count: count, strides: strides, isRead: true, isWritten: false)
    }

    @inline(__always)
    static func write(_ pointer: UnsafeMutableRawPointer?, _ dtype: DType, _ count: Int) -> Operand {
      Operand(pointer: pointer, dtype: dtype, count: count, strides: nil, isRead: false, isWritten: true)
    }

    @inline(__always)
    static func update(_ pointer: UnsafeMutableRawPointer?, _ dtype: DType, _ count: Int) -> Operand {
      Operand(pointer: pointer, dtype: dtype, count: count, strides: nil, isRead: true, isWritten: true)
    }
  }

  package let kernel: Kernel
  /// Which row of the kernel's table.
  package let row: UInt32
  /// What is computed in.
  package private(set) var dtype: DType
  /// Operands by their order in the kernel; the result is the last.
  package var a, b, c, d, e: Operand?
  /// The nest that strided operands are walked by.
  package fileprivate(set) var nest: UnsafePointer<mg_loop>?
  /// Whole numbers and numbers that are the kernel's own (sizes, flags, rates).
  package var sizes: (Int, Int, Int, Int) = (0, 0, 0, 0)
  package var numbers: (Double, Double, Double, Double) = (0, 0, 0, 0)
  /// Whose launch it is, of ``Kernel/named``.
  package fileprivate(set) var named: NamedKernel?

  @inline(__always)
  init(
    _ kernel: Kernel, row: UInt32 = 0, _ dtype: DType, _ a: Operand? = nil, _ b: Operand? = nil, _ c: Operand? = nil, _ d: Operand? = nil,
    _ e: Operand? = nil, nest: UnsafePointer<mg_loop>? = nil
  ) {
    (self.kernel, self.row, self.dtype, self.nest) = (kernel, row, dtype, nest)
    (self.a, self.b, self.c, self.d, self.e) = (a, b, c, d, e)
  }

  /// The kernels' name for the dtype.
  @inline(__always)
  var code: mg_dtype { dtype.code }

  /// Whether it goes through so many elements that somebody may want to stop it.
  @inline(__always)
  fileprivate var isLong: Bool {
    // Some do much for each: singular values of 128 × 128 take milliseconds, and so does a product of 500 × 500.
    if kernel == .product, numbers.0 * numbers.1 * numbers.2 >= 1e8 { return true }
    return (a?.count ?? 0) | (b?.count ?? 0) | (c?.count ?? 0) | (d?.count ?? 0) | (e?.count ?? 0)
      >= (kernel == .named || kernel == .convolution ? 1 << 14 : 1 << 20)
  }

  /// Whether it takes longer than somebody who stops it wants to wait: many elements, or much work for each.
  fileprivate var isVeryLong: Bool {
    let isPass =
      switch kernel {
      case .product, .convolution, .named, .sort: false
      default: true
      }
    return !isPass || [a, b, c, d, e].contains { ($0?.count ?? 0) >= 1 << 23 }
  }

  fileprivate var writesToWhatItReads: Bool {
    let all = [a, b, c, d, e].compactMap { $0 }
    return all.contains { one in one.isWritten && (one.isRead || all.contains { $0.isRead && $0.pointer == one.pointer }) }
  }

  fileprivate static var operands: [WritableKeyPath<Launch, Operand?>] { [\.a, \.b, \.c, \.d, \.e] }

  /// Whether pointers and counts can be right: for a programmer who builds a launch.
  fileprivate var isSound: Bool {
    for path in Launch.operands {
      guard let operand = self[keyPath: path] else { continue }
      guard operand.count >= 0 else { return false }
      if operand.count > 0, operand.pointer == nil { return false }
      if Int(bitPattern: operand.pointer) % operand.dtype.size != 0 { return false }
      if let strides = operand.strides {
        guard let nest, strides >= 0, strides < 4, nest.pointee.rank >= 0, nest.pointee.rank <= MG_MAX_RANK else { return false }
      }
    }
    return true
  }

  /// The same call in the wider dtype that `dtype` is computed in, with operands in memory of its own, which `body` is given;
  /// what it wrote is rounded back.
  fileprivate func widened(_ body: (borrowing Launch) throws -> Void) throws {
    var wide = self
    wide.dtype = dtype.computing
    var loop = nest?.pointee ?? mg_loop()
    var back: [(from: Operand, to: Operand)] = []
    var memory: [(UnsafeMutableRawPointer, Int)] = []
    let account = Context.current
    defer { for (pointer, bytes) in memory { account.pointee.memory.free(pointer, bytes) } }
    for path in Launch.operands {
      guard let operand = self[keyPath: path], operand.dtype.isOnlyStored, operand.pointer != nil,
        let element = operand.dtype.element as? any StoredElement.Type
      else { continue }
      let bytes = Swift.max(operand.count, 1) * operand.dtype.computing.size
      let room = try account.pointee.memory.lend(bytes)
      memory.append((room, bytes))
      if operand.isRead {
        var source = operand.pointer
        if let strides = operand.strides {
          let packed = try account.pointee.memory.lend(bytes)
          memory.append((packed, bytes))
          var gathering = loop.gathering(strides)
          mg_convert_nd(operand.dtype.code, operand.dtype.code, &gathering, source, packed)
          loop = loop.packing(strides)
          source = packed
        }
        if let source { element.widen(operand.count, source, into: room) }
      }
      wide[keyPath: path]?.pointer = room
      if operand.isWritten { back.append((Operand.read(room, operand.dtype.computing, operand.count), operand)) }
    }
    try withUnsafePointer(to: loop) { nest in
      if wide.nest != nil { wide.nest = nest }
      try body(wide)
    }
    for (from, to) in back {
      guard let element = to.dtype.element as? any StoredElement.Type, let source = from.pointer, let target = to.pointer else { continue }
      element.narrow(to.count, source, into: target)
    }
  }
}

/// Sees launches, and may answer them.
package protocol LaunchListener: AnyObject {
  /// Whether the launch was answered; else the kernel of this machine runs.
  func answers(_ launch: Launch) -> Bool
}

/// The kernels, each by a function that says what it launches.
package enum Kernels {
  /// Where all launches pass. Costs a read of one word when nobody listens.
  @inline(__always)
  static func launch(_ make: @autoclosure () -> Launch, _ kernel: (borrowing Launch) throws -> Void) throws {
    // Made for each way: where nobody looks at it, its parts stay in registers.
    let launch = make()
    assert(launch.isSound, "a launch that does not fit: \(launch)")
    if Context.current.pointee.isHeard || launch.dtype.isOnlyStored { return try attended(make(), kernel) }
    if launch.isLong { return try stoppable(make(), kernel) }
    try kernel(launch)
  }

  /// A launch that may take long: it ends early where it must stop, and nobody sees what it computed. What it writes to as well as reads
  /// would be left half written, so such a launch goes on to its end where that is near.
  @inline(never)
  private static func stoppable(_ launch: Launch, _ kernel: (borrowing Launch) throws -> Void) throws {
    guard let stop = Context.current.pointee.stop, launch.isVeryLong || !launch.writesToWhatItReads else { return try kernel(launch) }
    let outer = mg_heed(stop)
    defer { mg_heed(outer) }
    try kernel(launch)
    try Context.checkStop()
  }

  @inline(never)
  private static func attended(_ launch: Launch, _ kernel: (borrowing Launch) throws -> Void) throws {
    if Context.current.pointee.isHeard, heard(launch) { return }
    // What a kernel launches within is its own affair: products, of a convolution by columns.
    let context = Context.current
    let listener = context.pointee.listener
    context.pointee.listener = nil
    defer { context.pointee.listener = listener }
    func run(_ launch: borrowing Launch) throws {
      try launch.dtype.isOnlyStored ? launch.widened(kernel) : kernel(launch)
    }
    try launch.isLong ? stoppable(launch, run) : run(launch)
  }

  /// For kernels that only move elements, whatever these are.
  @inline(__always)
  static func move(_ make: @autoclosure () -> Launch, _ kernel: (borrowing Launch) throws -> Void) throws {
    let launch = make()
    assert(launch.isSound, "a launch that does not fit: \(launch)")
    if Context.current.pointee.isHeard, heard(make()) { return }
    if launch.isLong { return try stoppable(make(), kernel) }
    try kernel(launch)
  }

  @inline(never)
  private static func heard(_ launch: Launch) -> Bool {
    (Context.current.pointee.listener as? any LaunchListener)?.answers(launch) ?? false
  }
}

/// A kernel that one operation has of its own: a C function that `MG_KERNEL` defines, known by its name and nothing else, so
/// that its C file and the operation's declaration are all there is to it.
package struct NamedKernel: @unchecked Sendable, CustomStringConvertible {
  private let entry: UnsafePointer<mg_named>

  init(_ name: String) {
    guard let entry = mg_kernel_named(name) else { preconditionFailure("no file of CKernels defines a kernel named \(name)") }
    self.entry = entry
  }

  package var description: String { String(cString: entry.pointee.name) }

  /// Launches it: computes in `dtype`, on operands in the kernel's order. Returns the numbers that the kernel gives.
  @inline(__always)
  @discardableResult
  func callAsFunction(
    _ dtype: DType, _ a: Launch.Operand, _ b: Launch.Operand? = nil, _ c: Launch.Operand? = nil, _ d: Launch.Operand? = nil,
    _ e: Launch.Operand? = nil, sizes: (Int, Int, Int, Int) = (0, 0, 0, 0), numbers: (Double, Double, Double, Double) = (0, 0, 0, 0)
  ) throws -> (Double, Double) {
    var launch = Launch(.named, dtype, a, b, c, d, e)
    (launch.sizes, launch.numbers, launch.named) = (sizes, numbers, self)
    var result = (0.0, 0.0)
    try Kernels.launch(launch) { result = run($0) }
    return result
  }

  private func run(_ launch: borrowing Launch) -> (Double, Double) {
    var call = mg_call()
    call.dtype = launch.code
    call.operand = (launch.a?.pointer, launch.b?.pointer, launch.c?.pointer, launch.d?.pointer, launch.e?.pointer)
    let counts = (launch.a?.count ?? 0, launch.b?.count ?? 0, launch.c?.count ?? 0, launch.d?.count ?? 0, launch.e?.count ?? 0)
    call.count = (Int64(counts.0), Int64(counts.1), Int64(counts.2), Int64(counts.3), Int64(counts.4))
    call.size = (Int64(launch.sizes.0), Int64(launch.sizes.1), Int64(launch.sizes.2), Int64(launch.sizes.3))
    call.number = launch.numbers
    entry.pointee.run(&call)
    return call.result
  }
}
