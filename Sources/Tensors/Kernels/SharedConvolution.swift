// A convolution of float32 as tasks for our threads, each of which oneDNN computes.

import CKernels
import COneDNN
import Glibc
import Synchronization

/// The tasks that a convolution was cut into (see `ConvolutionCut`), and what their threads share.
final class SharedConvolution: @unchecked Sendable {
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

  /// False where oneDNN cannot compute it.
  static func run(_ role: ConvolutionRole, _ sizes: ConvolutionSizes, _ given: ConvolutionOperands) throws -> Bool {
    guard sizes.operations > 0 else { return false }
    let cut = ConvolutionCut(role, sizes)
    let (images, channels) = (cut.images, cut.channels)
    let bands = cut.bands ?? [WindowBand(windows: sizes.windows, image: 0, places: 0)]
    let all = role == .input ? sizes.inputs : sizes.outputs
    let chunks = (all - 1) / channels + 1
    let groups = (sizes.batch - 1) / images + 1
    let pieces = groups * bands.count

    // The plans of whole tasks and of what is left at the ends.
    func plan(_ images: Int, _ channels: Int, _ windows: Windows) -> ConvolutionPlan? {
      var part = sizes
      part.batch = images
      part.windows = windows
      if role == .input { part.inputs = channels } else { part.outputs = channels }
      return ConvolutionPlan.plan(.init(role: role, hasBias: given.bias != nil, sizes: part, whole: sizes))
    }
    let lastImages = sizes.batch - (groups - 1) * images
    let lastChannels = all - (chunks - 1) * channels
    var plans: [ConvolutionPlan] = []
    for band in bands {
      guard let whole = plan(images, channels, band.windows), let shorter = plan(lastImages, channels, band.windows),
        let narrower = plan(images, lastChannels, band.windows), let corner = plan(lastImages, lastChannels, band.windows)
      else { return false }
      plans += [whole, shorter, narrower, corner]
    }

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
    let threads = Swift.min(Int(mg_threads()), pieces * chunks, 64)
    work.room = plans.map { $0.first.bytes + (role == .weight ? $0.second.bytes : 0) + $0.result.bytes + $0.scratchBytes }.max() ?? 0
    work.rooms = try lend(work.room * threads)
    work.free.store(threads == 64 ? .max : (1 << UInt64(threads)) - 1, ordering: .relaxed)

    // Pieces that give weights give parts of a sum. It has up to so many at once, behind what earlier ones came to.
    let weightsBytes = sizes.weights * element
    let round = role == .weight ? Swift.min(pieces, ConvolutionCut.mostTasks) : pieces
    let earlier = pieces > round ? 1 : 0
    let parts = role == .weight && pieces > 1 ? try lend((earlier + round) * weightsBytes) : nil
    for start in stride(from: 0, to: pieces, by: round) {
      let count = Swift.min(round, pieces - start)
      work.tasks.removeAll(keepingCapacity: true)
      for chunk in 0..<chunks {
        let channel = chunk * channels
        let weightBytes = (role == .input ? channel * windows.taps : channel * (sizes.inputs / sizes.groups) * windows.taps) * element
        let weight = given.weight + weightBytes
        var prepared: [ObjectIdentifier: UnsafeMutableRawPointer] = [:]
        for piece in start..<start + count {
          let (group, band) = piece.quotientAndRemainder(dividingBy: bands.count)
          let plan = plans[4 * band + (chunk == chunks - 1 ? 2 : 0) + (group == groups - 1 ? 1 : 0)]
          let image =
            given.image + group * images * imageBytes
            + (bands[band].image + (role == .input ? channel * windows.inside : 0)) * element
          let output =
            given.output + group * images * outputBytes
            + (bands[band].places + (role == .input ? 0 : channel * windows.places)) * element
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
                plan: plan, first: role == .output ? image : output, second: at, result: role == .output ? output : image,
                isPrepared: true, bias: given.bias.map { $0 + channel * element }))
          case .weight:
            let result = (parts.map { $0 + (earlier + piece - start) * weightsBytes } ?? given.weight) + weightBytes
            work.tasks.append(Task(plan: plan, first: image, second: output, result: result, isPrepared: false, bias: nil))
          }
        }
      }
      try work.runAll()
      if let parts {
        if start > 0 { memcpy(parts, given.weight, weightsBytes) }
        let (first, terms) = start > 0 ? (parts, 1 + count) : (parts + earlier * weightsBytes, count)
        try Kernels.reduce(MG_SUM, .float32, Extent(1, terms, sizes.weights), first, into: given.weight)
      }
    }
    return true
  }

  private func runAll() throws {
    mg_parallel(
      Int64(tasks.count), 1,
      { context, begin, end in
        guard let context else { return }
        let work = Unmanaged<SharedConvolution>.fromOpaque(context).takeUnretainedValue()
        for number in begin..<end { work.run(Int(number)) }
      }, Unmanaged.passUnretained(self).toOpaque())
    let status = failure.load(ordering: .acquiring)
    guard status == dnnl_success.rawValue else {
      throw TensorError(.memory, "convolution", "the convolution could not be computed: oneDNN says \(status)")
    }
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
