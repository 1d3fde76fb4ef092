// Checkpoints of a run in a folder: the last, and the best few.

import Files

/// Writes a run's checkpoints to a folder, and finds the one to go on from.
///
/// A checkpoint takes its place when it is whole and on the disk, and only then others are removed, so that whenever the process is
/// killed there is one to go on from. Each file says by itself which step it is of and what its metrics were.
public final class Checkpointer {
  /// Whether a metric should fall or rise.
  public enum Mode: String, Sendable, CaseIterable {
    /// The smallest is the best: a loss.
    case min
    /// The largest is the best: an accuracy.
    case max
  }

  /// A checkpoint in the folder.
  public struct Entry: Sendable {
    /// Its file.
    public let path: String
    /// The step that it was saved at.
    public let step: Int
    /// The metrics that it was saved with, by their names.
    public let metrics: [String: Double]
  }

  /// Where the checkpoints are.
  public let folder: String
  /// How many are kept: the best by the monitored metric, or the newest where none is monitored. The last is kept in any case.
  public let keep: Int
  /// The metric by which checkpoints are judged.
  public let monitor: String?
  /// Whether the monitored metric should fall or rise.
  public let mode: Mode

  private static let prefix = "checkpoint-"
  private static let ending = ".safetensors"
  private static let metadataName = "moongrad.checkpointer"

  /// Takes a folder, which is made where there is none. What writers that were killed left in it is removed; checkpoints are not.
  public init(_ folder: String, keep: Int = 3, monitor: String? = nil, mode: Mode = .min) throws {
    guard keep >= 1 else { throw FileError(folder, "at least one checkpoint must be kept, not \(keep)") }
    (self.folder, self.keep, self.monitor, self.mode) = (folder, keep, monitor, mode)
    try LogFile.makeFolder(folder)
    try Folder.removeLeftovers(in: folder, of: Checkpointer.prefix)
  }

  /// Writes a checkpoint, which takes the place of one of the same step, and then removes those that are not to be kept. Returns its path.
  @discardableResult
  public func save(step: Int, _ value: Checkpoint.Value, metrics: [String: Double] = [:]) throws -> String {
    guard step >= 0 else { throw FileError(folder, "a checkpoint of step \(step) cannot be; steps count from 0 or 1") }
    if let monitor, metrics[monitor] == nil {
      throw FileError(folder, "the metric '\(monitor)', by which checkpoints are judged, is not among the metrics of step \(step)")
    }
    let name = Checkpointer.prefix + String(repeating: "0", count: max(0, 9 - String(step).count)) + "\(step)" + Checkpointer.ending
    let path = "\(folder)/\(name)"
    // Numbers by their bits, which JSON has no other way for where they are not finite.
    let facts = metrics.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .string(String($0.value.bitPattern, radix: 16))) }
    let text = JSON.object([JSON.Member("step", .integer(step)), JSON.Member("metrics", .object(facts))])
    try Checkpoint.save(value, to: path, metadata: [(Checkpointer.metadataName, "\(text)")])
    try removeOthers(than: path)
    return path
  }

  private func removeOthers(than last: String) throws {
    let entries = try entries()
    let kept = Set(judged(entries).prefix(keep).map(\.path)).union([last])
    for entry in entries where !kept.contains(entry.path) { try Folder.remove(file: entry.path) }
  }

  /// The checkpoints that can be read, by step.
  public func entries() throws -> [Entry] {
    try Folder.names(folder).compactMap { name in
      guard name.hasPrefix(Checkpointer.prefix), name.hasSuffix(Checkpointer.ending) else { return nil }
      return try? Checkpointer.entry("\(folder)/\(name)")
    }.sorted { ($0.step, $0.path) < ($1.step, $1.path) }
  }

  /// What a file says of itself; its header is read, which says how long the file must be.
  private static func entry(_ path: String) throws -> Entry? {
    guard let text = try SafetensorsFile(path).metadata.first(where: { $0.name == metadataName })?.text else { return nil }
    let facts = try JSON(text, path: path)
    guard case .integer(let step)? = facts["step"], case .object(let members)? = facts["metrics"] else { return nil }
    var metrics: [String: Double] = [:]
    for member in members {
      guard case .string(let digits) = member.value, let bits = UInt64(digits, radix: 16) else { return nil }
      metrics[member.name] = Double(bitPattern: bits)
    }
    return Entry(path: path, step: step, metrics: metrics)
  }

  /// The best first. Of equals, the newer; what has no number, last.
  private func judged(_ entries: [Entry]) -> [Entry] {
    entries.sorted { a, b in
      if let monitor {
        let (x, y) = (a.metrics[monitor] ?? .nan, b.metrics[monitor] ?? .nan)
        if x.isNaN != y.isNaN { return y.isNaN }
        if x != y, !x.isNaN { return mode == .min ? x < y : x > y }
      }
      return a.step > b.step
    }
  }

  /// The checkpoint of the highest step; nil where there is none.
  public func latest() throws -> Entry? { try entries().last }

  /// The best checkpoint by the monitored metric, or the newest where none is monitored; nil where there is none.
  public func best() throws -> Entry? { try judged(entries()).first }

  /// Reads the newest checkpoint that can be read; nil where there is none. Throws where there are some, of which none can be read.
  public func loadLatest() throws -> (value: Checkpoint.Value, entry: Entry)? { try load(try entries().reversed()) }

  /// The same of the best.
  public func loadBest() throws -> (value: Checkpoint.Value, entry: Entry)? { try load(judged(try entries())) }

  private func load(_ entries: [Entry]) throws -> (value: Checkpoint.Value, entry: Entry)? {
    var failure: FileError?
    for entry in entries {
      do { return (try Checkpoint.load(entry.path), entry) } catch let error as FileError { failure = failure ?? error }
    }
    if let failure { throw failure }
    // A run that began anew because its checkpoints are broken would be worse than one that says so.
    if let name = try Folder.names(folder).first(where: { $0.hasPrefix(Checkpointer.prefix) && $0.hasSuffix(Checkpointer.ending) }) {
      _ = try Checkpoint.load("\(folder)/\(name)")
      throw FileError("\(folder)/\(name)", "is no checkpoint of a Checkpointer's")
    }
    return nil
  }
}
