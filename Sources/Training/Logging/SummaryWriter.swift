// What TensorBoard shows: scalars, histograms and texts of a run, in a file of events.

import Files
import Glibc
import Tensors

/// Writes a run's events into a folder that TensorBoard reads (`tensorboard --logdir runs`).
///
/// Each event is handed to the system as it is added, so that a run that is killed keeps all of them.
public final class SummaryWriter {
  /// The folder; TensorBoard shows each as a run of its own.
  public let folder: String
  private let file: LogFile

  /// Makes the folder where there is none, and in it a file of its own.
  public init(_ folder: String) throws {
    self.folder = folder
    var host = [CChar](repeating: 0, count: 256)
    gethostname(&host, 255)
    let name = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let unique = UInt32.random(in: 0...(.max))
    try LogFile.makeFolder(folder)
    file = try LogFile("\(folder)/events.out.tfevents.\(Int(SummaryWriter.now)).\(name).\(getpid()).\(unique)")
    try file.write(EventRecord.bytes(.version, time: SummaryWriter.now))
  }

  private static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private func add(_ content: EventRecord.Content, _ tag: String, _ step: Int) throws {
    guard !tag.isEmpty else { throw TensorError(.argument, "SummaryWriter", "a tag must not be empty") }
    try file.write(EventRecord.bytes(content, tag: tag, step: step, time: SummaryWriter.now))
  }

  /// A number of a step: a loss, a rate. It is kept as float32, as TensorBoard reads it.
  public func addScalar(_ tag: String, _ value: Double, step: Int = 0) throws { try add(.scalar(value), tag, step) }

  /// Markdown.
  public func addText(_ tag: String, _ text: String, step: Int = 0) throws { try add(.text(text), tag, step) }

  /// How a tensor's elements are distributed. Throws for an empty one and for elements that are no numbers.
  public func addHistogram(_ tag: String, _ values: Tensor, step: Int = 0) throws {
    let values = try values.checkedDoubles("SummaryWriter")
    guard !values.isEmpty else { throw TensorError(.shape, "SummaryWriter", "\(tag): an empty tensor has no histogram") }
    guard values.allSatisfy(\.isFinite) else {
      throw TensorError(.domain, "SummaryWriter", "\(tag): a histogram is of finite numbers, and there is nan or inf among them")
    }
    var counts = [Double](repeating: 0, count: SummaryWriter.limits.count)
    for value in values { counts[SummaryWriter.bucket(of: value)] += 1 }
    // Without the empty buckets at either end.
    let first = counts.firstIndex { $0 > 0 } ?? 0
    let last = counts.lastIndex { $0 > 0 } ?? 0
    let kept = max(0, first - 1)...last
    try add(
      .histogram(
        .init(
          minimum: values.min() ?? 0, maximum: values.max() ?? 0, count: Double(values.count), sum: values.reduce(0, +),
          sumOfSquares: values.reduce(0) { $0 + $1 * $1 }, limits: Array(SummaryWriter.limits[kept]), counts: Array(counts[kept]))),
      tag, step)
  }

  /// TensorBoard's usual buckets: each a tenth wider than the one before, from 10⁻¹² on, to either side of 0.
  private static let limits: [Double] = {
    var positive: [Double] = []
    var limit = 1e-12
    while limit < 1e20 {
      positive.append(limit)
      limit *= 1.1
    }
    return positive.reversed().map { -$0 } + [0] + positive + [.greatestFiniteMagnitude]
  }()

  /// The first bucket whose upper limit is above a value.
  private static func bucket(of value: Double) -> Int {
    var (low, high) = (0, limits.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if limits[middle] > value { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// Waits until all events are on the disk.
  public func flush() { file.sync() }

  /// Ends the file.
  public func close() { file.close() }
}
