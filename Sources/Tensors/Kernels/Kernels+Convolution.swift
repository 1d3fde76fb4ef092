// Launches of convolutions: of float32 by oneDNN, of everything else by columns and products.

import CKernels
import COneDNN
import Glibc
import Synchronization

/// The three tensors of a convolution, contiguous: images, weights and what becomes of them; one of them is written.
struct ConvolutionOperands {
  let image, weight, output: UnsafeMutableRawPointer
  /// One for each channel of the output.
  var bias: UnsafeMutableRawPointer?
}

extension Kernels {
  /// Up to so many multiplications and additions a product is made sooner than oneDNN is called.
  private static let tiny = 20_000

  /// Computes one of a convolution's three tensors of the others. Whole numbers take no bias.
  static func convolution(_ role: ConvolutionRole, _ dtype: DType, _ sizes: ConvolutionSizes, _ given: ConvolutionOperands) throws {
    let windows = sizes.windows
    let images = sizes.batch * sizes.inputs * windows.inside
    let outputs = sizes.batch * sizes.outputs * windows.places
    func operand(_ pointer: UnsafeMutableRawPointer, _ count: Int, _ own: ConvolutionRole) -> Launch.Operand {
      role == own ? .write(pointer, dtype, count) : .read(pointer, dtype, count)
    }
    try windows.plain.withUnsafeBytes { plain in
      var call = Launch(
        .convolution, row: UInt32(role.rawValue), dtype, operand(given.image, images, .input),
        operand(given.weight, sizes.weights, .weight),
        given.bias.map { .read($0, dtype, sizes.outputs) }, operand(given.output, outputs, .output),
        .read(plain.baseAddress, .int64, plain.count / 8))
      call.sizes = (sizes.batch, sizes.groups, sizes.inputs, sizes.outputs)
      try launch(call) { call in
        guard let image = call.a?.pointer, let weight = call.b?.pointer, let output = call.d?.pointer else { return }
        let operands = ConvolutionOperands(image: image, weight: weight, output: output, bias: call.c?.pointer)
        if call.dtype == .float32, sizes.operations > tiny, try SharedConvolution.run(role, sizes, operands) { return }
        try ColumnConvolution(sizes: sizes, dtype: call.dtype, operands: operands).run(role)
      }
    }
  }
}

// MARK: By columns

/// A convolution as products with columns, image by image and group by group.
private struct ColumnConvolution {
  let sizes: ConvolutionSizes
  let dtype: DType
  let operands: ConvolutionOperands

  private var windows: Windows { sizes.windows }
  private var inputs: Int { sizes.inputs / sizes.groups }
  private var outputs: Int { sizes.outputs / sizes.groups }
  private var rows: Int { inputs * windows.taps }
  /// Windows of one tap that lie side by side are columns already.
  private var isPlain: Bool { windows.taps == 1 && windows.output == windows.input && windows.padding.allSatisfy { $0 == 0 } }

  private func weight(_ group: Int) -> UnsafeMutableRawPointer { operands.weight + group * outputs * rows * dtype.size }
  private func image(_ number: Int, _ group: Int) -> UnsafeMutableRawPointer {
    operands.image + (number * sizes.inputs + group * inputs) * windows.inside * dtype.size
  }
  private func output(_ number: Int, _ group: Int) -> UnsafeMutableRawPointer {
    operands.output + (number * sizes.outputs + group * outputs) * windows.places * dtype.size
  }

  private func matrix(_ pointer: UnsafeMutableRawPointer, _ columns: Int, transposed: Bool = false) -> Kernels.Matrix {
    Kernels.Matrix(pointer: pointer, leading: Swift.max(columns, 1), transposed: transposed)
  }

  func run(_ role: ConvolutionRole) throws {
    let places = windows.places
    let account = Context.current
    let (roomBytes, partBytes) = (
      rows * places * dtype.size, adds(role) && !dtype.isFloating ? outputs * Swift.max(rows, places) * dtype.size : 0
    )
    let room = isPlain ? nil : try account.pointee.memory.lend(roomBytes)
    defer { if let room { account.pointee.memory.free(room, roomBytes) } }
    let part = try account.pointee.memory.lend(partBytes)
    defer { account.pointee.memory.free(part, partBytes) }
    if role == .weight { memset(operands.weight, 0, sizes.weights * dtype.size) }
    for number in 0..<sizes.batch {
      for group in 0..<sizes.groups {
        let (x, y) = (image(number, group), output(number, group))
        switch role {
        case .output:
          if let room { try Kernels.columns(dtype, windows, channels: inputs, x, into: room) }
          if let bias = operands.bias {
            for channel in 0..<outputs {
              let at = bias + (group * outputs + channel) * dtype.size
              try Kernels.fill(dtype, places, at, into: y + channel * places * dtype.size)
            }
          }
          try product(outputs, places, rows, matrix(weight(group), rows), matrix(room ?? x, places), adds(role), part, into: y)
        case .input:
          try product(
            rows, places, outputs, matrix(weight(group), rows, transposed: true), matrix(y, places), false, part, into: room ?? x)
          if let room { try Kernels.addColumns(dtype, windows, channels: inputs, room, into: x) }
        case .weight:
          if let room { try Kernels.columns(dtype, windows, channels: inputs, x, into: room) }
          try product(
            outputs, rows, places, matrix(y, places), matrix(room ?? x, places, transposed: true), true, part, into: weight(group))
        }
      }
    }
  }

  /// Whether products are added to what is there.
  private func adds(_ role: ConvolutionRole) -> Bool { role == .weight || role == .output && operands.bias != nil }

  /// A product, added to what is there; that of whole numbers by way of `part`.
  private func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: Kernels.Matrix, _ b: Kernels.Matrix, _ adds: Bool, _ part: UnsafeMutableRawPointer,
    into c: UnsafeMutableRawPointer
  ) throws {
    guard adds, !dtype.isFloating else { return try Kernels.product(dtype, m, n, k, a, b, accumulate: adds, into: c) }
    try Kernels.product(dtype, m, n, k, a, b, into: part)
    try Kernels.binary(MG_ADD, dtype, m * n, c, part, into: c)
  }
}

// MARK: By oneDNN

/// A convolution cut into tasks, images and channels of each, by its sizes alone and not by the number of threads: results are
/// the same for any.
private final class SharedConvolution: @unchecked Sendable {
  private struct Task {
    let plan: ConvolutionPlan
    /// The operands that are read, in the order the plan has them, whether the second one is in the wanted order already, and what
    /// is written.
    let first, second, result: UnsafeMutableRawPointer
    let isPrepared: Bool
    let bias: UnsafeMutableRawPointer?
  }

  private var tasks: [Task] = []
  private var rooms: UnsafeMutableRawPointer?
  /// Bytes of one thread's room, and of its part for the first operand and the second.
  private var room = 0
  /// A bit for each room that no thread is in.
  private let free = Atomic<UInt64>(0)
  private let failure = Atomic<UInt32>(dnnl_success.rawValue)

  /// Multiplications and additions that are worth a task, and those of which more threads are worth their while. Where there are many
  /// tasks they have up to three times as many: calling oneDNN thrice for one takes a tenth of its time else.
  private static let worthATask = 4_000_000
  private static let manyTasks = 16
  private static let mostTasks = 8
  /// What a task should have at most: tens of milliseconds.
  private static let longest = 4_000_000_000

  /// False where oneDNN cannot compute it.
  static func run(_ role: ConvolutionRole, _ sizes: ConvolutionSizes, _ given: ConvolutionOperands) throws -> Bool {
    guard sizes.operations > 0 else { return false }
    // Images of a task.
    let perImage = Swift.max(sizes.operations / sizes.batch, 1)
    var images = Swift.min(sizes.batch, Swift.max((worthATask - 1) / perImage + 1, 1))
    if sizes.operations > worthATask { images = Swift.min(images, (sizes.batch + 1) / 2) }
    images = Swift.max(images, Swift.min(sizes.batch / manyTasks, 3 * worthATask / perImage))
    if role == .weight {
      images = Swift.max(images, (sizes.batch - 1) / mostTasks + 1, Swift.min(sizes.batch, 16 / sizes.windows.places))
    }
    let pieces = (sizes.batch - 1) / images + 1
    // Channels of a task, where there are few images.
    let all = role == .input ? sizes.inputs : sizes.outputs
    var channels = all
    if sizes.groups == 1, pieces < mostTasks, all >= 64 {
      let wanted = Swift.min(all / 32, mostTasks / pieces, images * perImage / (2 * worthATask))
      if wanted > 1 { channels = (all / wanted + 31) / 32 * 32 }
    }
    // Whoever stops it waits for the tasks under way.
    let long = Swift.min(images * perImage / longest, all / 16)
    if sizes.groups == 1, role != .weight, long > 1 { channels = Swift.min(channels, (all / long + 15) / 16 * 16) }

    // The plans of whole tasks and of what is left at the ends.
    func plan(_ images: Int, _ channels: Int) -> ConvolutionPlan? {
      var part = sizes
      part.batch = images
      if role == .input { part.inputs = channels } else { part.outputs = channels }
      return ConvolutionPlan.plan(
        .init(role: role, hasBias: given.bias != nil, sizes: part, inputs: sizes.inputs, outputs: sizes.outputs))
    }
    let lastImages = sizes.batch - (pieces - 1) * images
    let chunks = (all - 1) / channels + 1
    let lastChannels = all - (chunks - 1) * channels
    guard let whole = plan(images, channels), let shorter = plan(lastImages, channels), let narrower = plan(images, lastChannels),
      let corner = plan(lastImages, lastChannels)
    else { return false }
    let plans = [whole, shorter, narrower, corner]

    let account = Context.current
    var lent: [(UnsafeMutableRawPointer, Int)] = []
    defer { for (pointer, bytes) in lent { account.pointee.memory.free(pointer, bytes) } }
    func lend(_ bytes: Int) throws -> UnsafeMutableRawPointer {
      let pointer = try account.pointee.memory.lend(bytes)
      lent.append((pointer, bytes))
      return pointer
    }

    let work = SharedConvolution()
    let windows = sizes.windows
    let element = MemoryLayout<Float>.size
    let imageBytes = sizes.inputs * windows.inside * element
    let outputBytes = sizes.outputs * windows.places * element
    let partial = role == .weight && pieces > 1 ? try lend(pieces * sizes.weights * element) : nil
    for chunk in 0..<chunks {
      let channel = chunk * channels
      let weightBytes = (role == .input ? channel * windows.taps : channel * (sizes.inputs / sizes.groups) * windows.taps) * element
      let weight = given.weight + weightBytes
      var prepared: [ObjectIdentifier: UnsafeMutableRawPointer] = [:]
      for piece in 0..<pieces {
        let isLast = piece == pieces - 1
        let plan = chunk == chunks - 1 ? (isLast ? corner : narrower) : isLast ? shorter : whole
        let image = given.image + piece * images * imageBytes + (role == .input ? channel * windows.inside * element : 0)
        let output = given.output + piece * images * outputBytes + (role == .input ? 0 : channel * windows.places * element)
        switch role {
        case .output, .input:
          // Once for all images.
          var at = weight
          if plan.second.reorder != nil {
            if let found = prepared[ObjectIdentifier(plan)] {
              at = found
            } else {
              at = try lend(plan.second.bytes)
              omp_set_num_threads(1)
              guard plan.reorder(plan.second, weight, into: at) == dnnl_success else { return false }
              prepared[ObjectIdentifier(plan)] = at
            }
          }
          work.tasks.append(
            Task(
              plan: plan, first: role == .output ? image : output, second: at, result: role == .output ? output : image, isPrepared: true,
              bias: given.bias.map { $0 + channel * element }))
        case .weight:
          let result = (partial.map { $0 + piece * sizes.weights * element } ?? given.weight) + weightBytes
          work.tasks.append(Task(plan: plan, first: image, second: output, result: result, isPrepared: false, bias: nil))
        }
      }
    }

    work.room = plans.map { $0.first.bytes + (role == .weight ? $0.second.bytes : 0) + $0.result.bytes + $0.scratchBytes }.max() ?? 0
    let threads = Swift.min(Int(mg_threads()), work.tasks.count, 64)
    work.rooms = try lend(work.room * threads)
    work.free.store(threads == 64 ? .max : (1 << UInt64(threads)) - 1, ordering: .relaxed)
    mg_parallel(
      Int64(work.tasks.count), 1,
      { context, begin, end in
        guard let context else { return }
        let work = Unmanaged<SharedConvolution>.fromOpaque(context).takeUnretainedValue()
        for number in begin..<end { work.run(Int(number)) }
      }, Unmanaged.passUnretained(work).toOpaque())
    let status = work.failure.load(ordering: .acquiring)
    guard status == dnnl_success.rawValue else {
      throw TensorError(.memory, "convolution", "the convolution could not be computed: oneDNN says \(status)")
    }
    if let partial { try Kernels.reduce(MG_SUM, .float32, Extent(1, pieces, sizes.weights), partial, into: given.weight) }
    return true
  }

  private func run(_ number: Int) {
    let place = enter()
    defer { free.bitwiseOr(1 << UInt64(place), ordering: .releasing) }
    guard var room = rooms.map({ $0 + place * self.room }) else { return }
    let task = tasks[number]
    let plan = task.plan
    omp_set_num_threads(1)
    func brought(_ side: ConvolutionPlan.Side, _ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
      guard side.reorder != nil else { return pointer }
      let at = room
      note(plan.reorder(side, pointer, into: at))
      room += side.bytes
      return at
    }
    let first = brought(plan.first, task.first)
    let second = task.isPrepared ? task.second : brought(plan.second, task.second)
    note(plan.run(first, second, bias: task.bias, into: task.result, room: room, scratch: room + plan.result.bytes))
  }

  private func note(_ status: dnnl_status_t) {
    if status != dnnl_success { failure.store(status.rawValue, ordering: .releasing) }
  }

  /// A room that no other thread is in: there are as many as threads.
  private func enter() -> Int {
    while true {
      let rooms = free.load(ordering: .relaxed)
      guard rooms != 0 else { continue }
      if free.compareExchange(expected: rooms, desired: rooms & (rooms - 1), ordering: .acquiring).exchanged {
        return rooms.trailingZeroBitCount
      }
    }
  }
}
