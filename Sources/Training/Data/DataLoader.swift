// Batches of a data set for loops, in the order in which PyTorch's loader gives them for the same seed.

import Tensors

/// A sampler whose positions come in batches.
public struct BatchSampler {
  let sampler: any Sampler
  let batchSize: Int
  let dropLast: Bool

  /// `dropLast` leaves out the last batch where it is smaller than the others.
  public init(_ sampler: any Sampler, batchSize: Int, dropLast: Bool = false) throws {
    guard batchSize > 0 else {
      throw TensorError(.argument, "BatchSampler", "batch_size should be a positive whole number, but got batch_size = \(batchSize)")
    }
    (self.sampler, self.batchSize, self.dropLast) = (sampler, batchSize, dropLast)
  }

  /// How many batches a pass has.
  public var count: Int {
    get throws {
      let samples = try sampler.count
      return dropLast ? samples / batchSize : samples / batchSize + (samples % batchSize > 0 ? 1 : 0)
    }
  }
}

/// The tensors of a batch, or why they could not be had, which is thrown when they are asked for.
public struct Batch {
  private let result: Result<[Tensor], any Error>

  init(_ result: Result<[Tensor], any Error>) { self.result = result }

  /// All of them.
  public var tensors: [Tensor] { get throws { try result.get() } }

  /// One of them, from 0.
  public subscript(position: Int) -> Tensor {
    get throws {
      let tensors = try tensors
      guard tensors.indices.contains(position) else {
        throw TensorError(.index, "Batch", "tensor \(position) is out of range: a batch has \(tensors.count)")
      }
      return tensors[position]
    }
  }
}

/// Batches of a data set, for a loop, which is a pass over it.
///
/// ```swift
/// let dataset = try TensorDataset(images, labels)
/// for batch in try DataLoader(dataset, batchSize: 64, shuffle: true) {
///   let value = try loss(net(batch[0]), batch[1])
/// }
/// ```
///
/// Each loop is a new pass; it draws from the context's generator what PyTorch's loader draws in the main process.
public final class DataLoader: Sequence {
  /// What is loaded.
  public let dataset: any Dataset
  private let sampler: (() throws -> any Sampler)
  private let batchSize: Int?
  private let dropLast: Bool
  private let prefetch: Int
  private let generator: Generator?
  private var pass: LoaderPass?
  private var resumed: LoaderPass.State?

  /// Batches of `batchSize` samples, single ones where it is nil. `sampler` says the order where `shuffle` does not; `generator` is
  /// drawn from instead of the context's; `prefetch` batches are read ahead on another thread.
  public init(
    _ dataset: any Dataset, batchSize: Int? = 1, shuffle: Bool = false, dropLast: Bool = false, sampler: (any Sampler)? = nil,
    generator: Generator? = nil, prefetch: Int = 0
  ) throws {
    func refuse(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "DataLoader", facts) }
    if sampler != nil, shuffle { throw refuse("sampler and shuffle exclude each other") }
    if let batchSize, batchSize <= 0 { throw refuse("batch_size should be a positive whole number, but got batch_size = \(batchSize)") }
    if batchSize == nil, dropLast { throw refuse("without a batch size there is no last batch to drop") }
    guard prefetch >= 0 else { throw refuse("prefetch is a count of batches, got \(prefetch)") }
    self.dataset = dataset
    self.batchSize = batchSize
    self.dropLast = dropLast
    self.prefetch = prefetch
    self.generator = generator
    if let sampler {
      self.sampler = { sampler }
    } else if shuffle {
      // Of as many samples as there are when the pass begins.
      self.sampler = { try RandomSampler(dataset.count, generator: generator) }
    } else {
      self.sampler = { SequentialSampler(try dataset.count) }
    }
    _ = try self.sampler()
  }

  /// Batches as a sampler of batches gives them.
  public init(_ dataset: any Dataset, batchSampler: BatchSampler, generator: Generator? = nil, prefetch: Int = 0) {
    self.dataset = dataset
    sampler = { batchSampler.sampler }
    batchSize = batchSampler.batchSize
    dropLast = batchSampler.dropLast
    self.prefetch = Swift.max(prefetch, 0)
    self.generator = generator
  }

  /// How many batches a pass has.
  public var count: Int {
    get throws {
      guard let batchSize else { return try sampler().count }
      return try BatchSampler(sampler(), batchSize: batchSize, dropLast: dropLast).count
    }
  }

  /// A new pass, or the rest of the one whose state was loaded. Its `next()` throws at once what a loop over the loader keeps for
  /// whoever looks into the batch.
  public func makePass() throws -> LoaderPass {
    let resumed = resumed
    // PyTorch's loader draws a seed for its workers, also where it has none.
    if resumed == nil { _ = (generator ?? .current).nextSeed() }
    let pass = LoaderPass(
      try sampler().makePass(), batchSize: batchSize, dropLast: dropLast, dataset: dataset, prefetch: prefetch)
    if let resumed { try pass.load(resumed) }
    self.resumed = nil
    self.pass = pass
    return pass
  }

  /// A pass, which begins with its first batch. What cannot be made is the last, and throws when one looks into it.
  public func makeIterator() -> AnyIterator<Batch> {
    var pass: LoaderPass?
    var isOver = false
    return AnyIterator { [self] in
      guard !isOver else { return nil }
      let result = Result {
        if pass == nil { pass = try makePass() }
        return try pass?.next()
      }
      switch result {
      case .success(let tensors?): return Batch(.success(tensors))
      case .success(nil):
        isOver = true
        self.pass = nil
        return nil
      case .failure(let error):
        isOver = true
        return Batch(.failure(error))
      }
    }
  }

  /// Where the last pass stands; nil before the first and after its end.
  public func state() throws -> LoaderPass.State? { try pass?.state() }

  /// The next pass is the rest of that one.
  public func load(_ state: LoaderPass.State?) {
    resumed = state
    pass = nil
  }
}
