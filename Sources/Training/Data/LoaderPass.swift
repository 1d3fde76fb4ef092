// One pass of a loader over its data set: batches of positions, and the tensors at them.

import Tensors

/// A pass over a data set, batch after batch.
public final class LoaderPass {
  private let positions: SamplerPass
  private let dataset: (any Dataset)?
  private let batchSize: Int?
  private let dropLast: Bool
  private let prefetch: Int
  private var ahead: [BatchAhead] = []
  /// What went wrong with the batch after those.
  private var failure: (any Error)?
  /// Whether no positions are left to take.
  private var isDrawn = false
  /// How many batches were given, those before it was resumed too.
  public private(set) var batches = 0
  /// Whether the last batch was given, and the end of the pass seen.
  public private(set) var isOver = false

  /// Where a pass stands.
  public struct State {
    /// How many batches were given.
    public var batches: Int
    /// The positions that are to come.
    public var sampler: SamplerPass.State

    /// Nothing is checked before it is loaded.
    public init(batches: Int, sampler: SamplerPass.State) { (self.batches, self.sampler) = (batches, sampler) }
  }

  /// Without a batch size each position is a batch of its own, a sample as it is. Without a data set there are only positions.
  package init(_ positions: SamplerPass, batchSize: Int?, dropLast: Bool, dataset: (any Dataset)? = nil, prefetch: Int = 0) {
    self.positions = positions
    self.batchSize = batchSize
    self.dropLast = dropLast
    self.dataset = dataset
    // Positions that are drawn ahead are in lists, which no limit of memory sees; nobody reads faster for more of them.
    self.prefetch = batchSize == nil ? 0 : min(prefetch, 1 << 12)
  }

  deinit { close() }

  /// The positions of the next batch, nil after the last.
  package func nextPositions() throws -> [Int]? {
    guard let next = try takePositions() else {
      isOver = true
      return nil
    }
    batches &+= 1
    return next
  }

  private func takePositions() throws -> [Int]? {
    let size = batchSize ?? 1
    let next = try positions.take(size)
    guard !next.isEmpty, !dropLast || next.count == size else {
      isDrawn = true
      return nil
    }
    return next
  }

  /// The tensors of the next batch, nil after the last.
  public func next() throws -> [Tensor]? {
    guard let dataset else { return nil }
    guard prefetch > 0 else {
      guard let next = try nextPositions() else { return nil }
      return try batchSize == nil ? dataset.sample(next[0]) : dataset.batch(next)
    }
    do {
      while ahead.count <= prefetch, failure == nil, !isDrawn, let next = try takePositions() {
        ahead.append(try BatchAhead(dataset, next))
      }
    } catch { failure = error }
    // Of the batches before it none is lost.
    if ahead.isEmpty, let failure {
      self.failure = nil
      throw failure
    }
    guard !ahead.isEmpty else {
      isOver = true
      return nil
    }
    batches &+= 1
    return ahead.removeFirst().wait()
  }

  /// Stops reading ahead; nothing comes after it.
  package func close() {
    Copier.shared.cancel(ahead.compactMap(\.job))
    ahead = []
  }

  /// Where it stands.
  public func state() throws -> State {
    State(batches: batches, sampler: try positions.state(ahead: ahead.flatMap(\.positions)))
  }

  /// Goes on from where another pass stood.
  package func load(_ state: State) throws {
    try positions.load(state.sampler)
    batches = state.batches
    (isDrawn, isOver) = (false, false)
  }
}
