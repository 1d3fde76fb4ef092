// Data sets: samples by position, and how those of a batch are gathered.

import Tensors

/// Samples that are found by their positions.
///
/// A type of your own says how many there are and gives one; batches are then stacked of single ones. Say ``batch(_:)`` too
/// where several can be had at once.
public protocol Dataset: AnyObject {
  /// How many samples there are.
  var count: Int { get throws }
  /// The tensors of one: an input and its label, say.
  func sample(_ position: Int) throws -> [Tensor]
  /// The tensors of several, each with a first dimension for the samples.
  func batch(_ positions: [Int]) throws -> [Tensor]
  /// The rows that make such a batch, where they lie in memory and can be copied without asking further; nil where the batch
  /// is to be asked for. What a loader reads ahead is this.
  func rows(_ positions: [Int]) throws -> [Rows]?
}

extension Dataset {
  /// Stacked of single samples.
  public func batch(_ positions: [Int]) throws -> [Tensor] {
    let samples = try positions.map { try sample($0) }
    guard let first = samples.first else { return [] }
    for (number, sample) in samples.enumerated() where sample.count != first.count {
      throw TensorError(
        .argument, "DataLoader",
        "sample \(index: positions[number]) has \(sample.count) tensors, but sample \(index: positions[0]) has \(first.count)")
    }
    return try first.indices.map { column in
      for (number, sample) in samples.enumerated() where sample[column].shape != first[column].shape {
        throw TensorError(
          .shape, "DataLoader",
          "sample \(index: positions[number]) has shape \(sample[column].shape), but sample \(index: positions[0]) has \(first[column].shape)"
        )
      }
      return try Tensor.stack(samples.map { $0[column] })
    }
  }

  /// None that could be copied.
  public func rows(_ positions: [Int]) throws -> [Rows]? { nil }
}

/// Rows of one tensor: where each lies.
public struct Rows {
  /// What holds their elements, and must live until they are copied.
  let owners: [Storage]
  /// The shape of one, and its elements.
  let shape: Shape
  let dtype: DType
  /// The first byte of each, in the order of the batch.
  let places: [UnsafeRawPointer]

  var byteCount: Int { shape.count * dtype.size }

  /// Of a tensor whose rows are without gaps, and which has no history to be recorded; nil otherwise.
  init?(_ tensor: Tensor, _ positions: [Int]) {
    let shape = tensor.rowShape
    guard let stride = tensor.rowStride else { return nil }
    owners = [tensor.storage]
    self.shape = shape
    dtype = tensor.dtype
    let base = UnsafeRawPointer(tensor.data)
    places = positions.map { base + $0 * stride }
  }

  /// Rows of several tensors in one order: `pieces` are of these, and `order` says for each place which piece and which row of it.
  init?(_ pieces: [Rows], order: [(piece: Int, row: Int)]) {
    guard let first = pieces.first, pieces.allSatisfy({ $0.shape == first.shape && $0.dtype == first.dtype }) else { return nil }
    owners = pieces.flatMap(\.owners)
    shape = first.shape
    dtype = first.dtype
    places = order.map { pieces[$0.piece].places[$0.row] }
  }
}

/// Checks positions against a count; messages count from 1 in scripts.
func checkPositions(_ positions: [Int], _ count: Int, _ name: String) throws {
  for position in positions where position < 0 || position >= count {
    throw TensorError(.argument, name, "position \(index: position) is out of range: there are \(count) samples")
  }
}

/// Tensors side by side: a sample is a row of each, a batch is gathered in one operation per tensor.
public final class TensorDataset: Dataset {
  /// What the rows are of.
  public let tensors: [Tensor]

  /// Tensors whose first sizes are the same.
  public init(_ tensors: [Tensor]) throws {
    guard let first = tensors.first else { throw TensorError(.argument, "TensorDataset", "at least one tensor is needed") }
    for (number, tensor) in tensors.enumerated() {
      guard tensor.rank > 0 else {
        throw TensorError(.shape, "TensorDataset", "tensor \(index: number) has rank 0; the first dimension counts the samples")
      }
      guard tensor.shape[0] == first.shape[0] else {
        throw TensorError(
          .shape, "TensorDataset",
          "the lengths differ: tensor \(index: 0) has \(first.shape[0]) rows, tensor \(index: number) has \(tensor.shape[0])")
      }
    }
    self.tensors = tensors
  }

  /// The same, one by one.
  public convenience init(_ tensors: Tensor...) throws { try self.init(tensors) }

  /// The first size of the tensors, as it is now.
  public var count: Int { tensors[0].shape[0] }

  /// A row of each tensor, as a view. Throws for a position that is out of range.
  public func sample(_ position: Int) throws -> [Tensor] {
    try checkPositions([position], count, "TensorDataset")
    return try tensors.map { try $0.select(0, position) }
  }

  /// The rows of each tensor, copied into a new one whose first size is that of `positions`. Throws for a position that is out of range.
  public func batch(_ positions: [Int]) throws -> [Tensor] {
    try check(positions)
    return try tensors.map { try $0.pickedRows(positions) }
  }

  /// Where the rows lie; nil where one of the tensors has rows with gaps, or a history.
  public func rows(_ positions: [Int]) throws -> [Rows]? {
    try check(positions)
    let rows = tensors.compactMap { Rows($0, positions) }
    return rows.count == tensors.count ? rows : nil
  }

  /// A tensor may have been given another shape since.
  private func check(_ positions: [Int]) throws {
    for tensor in tensors { try checkPositions(positions, tensor.rank == 0 ? 0 : tensor.shape[0], "TensorDataset") }
  }
}

/// Some of a data set's samples.
public final class Subset: Dataset {
  /// All of them, and the positions of those that are taken.
  public let dataset: any Dataset
  /// The positions in ``dataset``, from 0.
  public let positions: [Int]

  /// Positions of `dataset`, in any order; one may be there twice.
  public init(_ dataset: any Dataset, _ positions: [Int]) throws {
    try checkPositions(positions, dataset.count, "Subset")
    self.dataset = dataset
    self.positions = positions
  }

  /// The number of positions.
  public var count: Int { positions.count }

  /// The data set's sample at that one of the positions. Throws when it is out of range.
  public func sample(_ position: Int) throws -> [Tensor] { try dataset.sample(whole([position])[0]) }
  /// The data set's batch of those of the positions. Throws when one is out of range.
  public func batch(_ positions: [Int]) throws -> [Tensor] { try dataset.batch(whole(positions)) }
  /// The data set's rows of those of the positions, or nil where it has none.
  public func rows(_ positions: [Int]) throws -> [Rows]? { try dataset.rows(whole(positions)) }

  private func whole(_ positions: [Int]) throws -> [Int] {
    try checkPositions(positions, self.positions.count, "Subset")
    return positions.map { self.positions[$0] }
  }
}

/// Data sets one after the other.
public final class ConcatDataset: Dataset {
  /// The data sets in their order.
  public let datasets: [any Dataset]
  /// Where each ends.
  private let ends: [Int]

  /// At least one.
  public init(_ datasets: [any Dataset]) throws {
    guard !datasets.isEmpty else { throw TensorError(.argument, "ConcatDataset", "at least one data set is needed") }
    self.datasets = datasets
    var ends: [Int] = []
    for dataset in datasets {
      let (end, isTooLarge) = (ends.last ?? 0).addingReportingOverflow(try dataset.count)
      guard !isTooLarge else { throw TensorError(.argument, "ConcatDataset", "there are more samples than can be counted") }
      ends.append(end)
    }
    self.ends = ends
  }

  /// The sum of their counts when this one was made.
  public var count: Int { ends[ends.count - 1] }

  /// The sample of the data set that the position falls into. Throws for a position that is out of range.
  public func sample(_ position: Int) throws -> [Tensor] {
    try checkPositions([position], count, "ConcatDataset")
    let number = place(of: position)
    return try datasets[number].sample(position - start(number))
  }

  /// A batch of all data sets that the positions fall into, in the order of the positions. Throws where their rows differ in shape.
  public func batch(_ positions: [Int]) throws -> [Tensor] {
    let (parts, order) = try parts(positions)
    let batches = try parts.map { part in try datasets[part.number].batch(part.positions) }
    guard let first = batches.first else { return [] }
    guard batches.count > 1 else { return first }
    try checkColumns(batches.map { $0.map(\.rowShape) })
    // Behind one another, then in the order of the batch.
    var starts = [0]
    for part in parts { starts.append(starts[starts.count - 1] + part.positions.count) }
    let index = try Tensor(order.map { starts[$0.piece] + $0.row })
    return try first.indices.map { column in try Tensor.cat(batches.map { $0[column] }).indexSelect(0, index) }
  }

  /// The rows of those data sets, or nil where one of them has none.
  public func rows(_ positions: [Int]) throws -> [Rows]? {
    let (parts, order) = try parts(positions)
    var pieces: [[Rows]] = []
    for part in parts {
      guard let rows = try datasets[part.number].rows(part.positions) else { return nil }
      pieces.append(rows)
    }
    guard let first = pieces.first, pieces.allSatisfy({ $0.count == first.count }) else { return nil }
    let columns = first.indices.compactMap { column in Rows(pieces.map { $0[column] }, order: order) }
    return columns.count == first.count ? columns : nil
  }

  private func checkColumns(_ shapes: [[Shape]]) throws {
    for (part, columns) in shapes.enumerated() where columns != shapes[0] {
      throw TensorError(
        .shape, "ConcatDataset",
        "samples differ: some have shapes \(shapes[0].map(\.description).joined(separator: ", ")), others \(columns.map(\.description).joined(separator: ", ")) (part \(part + 1))"
      )
    }
  }

  /// The positions that each data set is asked for, and where each of the batch is found then.
  private func parts(_ positions: [Int]) throws -> ([(number: Int, positions: [Int])], [(piece: Int, row: Int)]) {
    try checkPositions(positions, count, "ConcatDataset")
    var parts: [(number: Int, positions: [Int])] = []
    var order: [(piece: Int, row: Int)] = []
    for position in positions {
      let number = place(of: position)
      let piece = parts.firstIndex { $0.number == number } ?? parts.count
      if piece == parts.count { parts.append((number, [])) }
      order.append((piece, parts[piece].positions.count))
      parts[piece].positions.append(position - start(number))
    }
    return (parts, order)
  }

  private func start(_ number: Int) -> Int { number == 0 ? 0 : ends[number - 1] }

  private func place(of position: Int) -> Int {
    var (low, high) = (0, ends.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if ends[middle] > position { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// How many samples each part of a split has: `lengths` themselves, or fractions that sum to 1, of which each is rounded down
/// and what is left goes to the first parts, one each, as PyTorch has it.
public func splitLengths(_ lengths: [Double], of count: Int) throws -> [Int] {
  func refuse(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "random_split", facts) }
  guard !lengths.isEmpty else { throw refuse("at least one length is needed") }
  guard count <= 1 << 53 else { throw refuse("\(count) samples are more than can be split") }
  for (number, length) in lengths.enumerated() where !(length >= 0 && length.isFinite) {
    throw refuse("length \(index: number) is \(length); lengths are counts, or fractions from 0 to 1")
  }
  let sum = lengths.reduce(0, +)
  if abs(sum - 1) <= 1e-9 * max(sum, 1), sum <= 1 {
    var counts = lengths.map { Int((Double(count) * $0).rounded(.down)) }
    let rest = max(count - counts.reduce(0, +), 0)
    for number in 0..<rest { counts[number % counts.count] += 1 }
    return counts
  }
  let counts = lengths.compactMap(Int.init(exactly:))
  guard counts.count == lengths.count else {
    throw refuse("fractions must sum to 1, and not to more, but these sum to \(sum)")
  }
  var total = 0
  for length in counts { total = total.addingReportingOverflow(length).partialValue }
  guard counts.allSatisfy({ $0 <= count }), total == count else {
    throw refuse("the lengths sum to \(sum == sum.rounded() && sum < 1e15 ? "\(Int(sum))" : "\(sum)"), but there are \(count) samples")
  }
  return counts
}

/// Splits a data set at random into parts of such lengths, drawn from `generator`, or else from the context's.
public func randomSplit(_ dataset: any Dataset, _ lengths: [Double], generator: Generator? = nil) throws -> [Subset] {
  let counts = try splitLengths(lengths, of: dataset.count)
  try requireRoom(for: counts.reduce(0, +))
  let order = (generator ?? .current).permutation(counts.reduce(0, +))
  var start = 0
  return try counts.map { count in
    defer { start += count }
    return try Subset(dataset, Array(order[start..<start + count]))
  }
}
