// Samplers: in which order the samples of a data set are given. They draw what PyTorch's draw, and as late: a sampler is asked
// for positions piece by piece, and draws a piece when the one before is used up.

import Tensors

/// An order of positions, which may be another in each pass.
public protocol Sampler {
  /// How many positions a pass has.
  var count: Int { get throws }
  /// The positions of one pass.
  func makePass() throws -> SamplerPass
}

/// The positions of one pass over a sampler.
public final class SamplerPass {
  /// Some positions at once.
  enum Piece {
    case range(Range<Int>)
    case list([Int])
    /// The first of a tensor of positions. Drawn ones are kept so: their memory is counted, and has a limit.
    case drawn(Tensor, count: Int)

    var count: Int {
      switch self {
      case .range(let range): range.count
      case .list(let list): list.count
      case .drawn(_, let count): count
      }
    }

    /// Appends those from `start` on.
    func append(_ start: Int, _ number: Int, to result: inout [Int]) {
      switch self {
      case .range(let range): result.append(contentsOf: range.lowerBound + start..<range.lowerBound + start + number)
      case .list(let list): result.append(contentsOf: list[start..<start + number])
      case .drawn(let tensor, _):
        let positions = tensor.data.assumingMemoryBound(to: Int.self)
        result.append(contentsOf: UnsafeBufferPointer(start: positions + start, count: number))
      }
    }
  }

  /// What is to come: positions that are drawn, and how many pieces were, by which the sampler knows what it draws next.
  public struct State {
    /// Positions that are drawn and not given yet, in order.
    public var rest: [Int]
    /// Where they follow one another in their natural order: from where to where, instead of `rest`.
    public var range: Range<Int>?
    /// How many times the sampler was asked.
    public var pieces: Int
    /// The state of the generator that the pass made for itself, see ``Generator/stateTensor()``.
    public var generator: Tensor?

    /// Nothing is checked before it is loaded.
    public init(rest: [Int] = [], range: Range<Int>? = nil, pieces: Int = 0, generator: Tensor? = nil) {
      (self.rest, self.range, self.pieces, self.generator) = (rest, range, pieces, generator)
    }
  }

  private var piece = Piece.range(0..<0)
  private var taken = 0
  private var pieces = 0
  private var generator: Generator?
  private let makesGenerator: Bool
  private let draw: (_ number: Int, _ generator: Generator) throws -> Piece?

  /// `draw` gives the pieces by their numbers, nil after the last. With `makesGenerator` a pass that is given no generator draws
  /// a seed from the context's when it is first asked, and all else from a generator of its own.
  init(
    generator: Generator? = nil, makesGenerator: Bool = false,
    _ draw: @escaping (_ number: Int, _ generator: Generator) throws -> Piece?
  ) {
    self.generator = generator
    self.makesGenerator = makesGenerator && generator == nil
    self.draw = draw
  }

  /// The next positions, up to `count` of them, fewer at the end only.
  public func take(_ count: Int) throws -> [Int] {
    var result: [Int] = []
    result.reserveCapacity(min(count, 4096))
    while result.count < count {
      let rest = piece.count - taken
      if rest == 0 {
        guard let next = try drawPiece() else { break }
        (piece, taken) = (next, 0)
        continue
      }
      let number = min(rest, count - result.count)
      if number > 1 << 16 { try requireRoom(for: number) }
      piece.append(taken, number, to: &result)
      taken += number
    }
    return result
  }

  private func drawPiece() throws -> Piece? {
    if generator == nil, makesGenerator {
      let own = Generator()
      own.manualSeed(Generator.current.nextSeed())
      generator = own
    }
    let next = try draw(pieces, generator ?? .current)
    if next != nil { pieces &+= 1 }
    return next
  }

  /// What is to come. `ahead` are positions that were taken and shall count as not given.
  func state(ahead: [Int] = []) throws -> State {
    var state = State(pieces: pieces)
    switch piece {
    case .range(let range) where ahead.isEmpty: state.range = range.lowerBound + taken..<range.upperBound
    case .range(let range): state.range = range.lowerBound + taken - ahead.count..<range.upperBound
    case .list, .drawn:
      state.rest = ahead
      piece.append(taken, piece.count - taken, to: &state.rest)
    }
    if makesGenerator { state.generator = try generator?.stateTensor() }
    return state
  }

  /// Goes on from there.
  func load(_ state: State) throws {
    piece = state.range.map(Piece.range) ?? .list(state.rest)
    taken = 0
    pieces = state.pieces
    if makesGenerator, let bytes = state.generator {
      let own = Generator()
      try own.setState(bytes, "DataLoader.load_state_dict")
      generator = own
    }
  }
}

/// Throws where a list of so many positions would pass the limit of memory, which lists themselves do not ask.
package func requireRoom(for count: Int) throws { _ = try Tensor(uninitialized: Shape([count], operation: "DataLoader"), .int64) }

/// Checks a count that must be positive.
private func requirePositive(_ count: Int, _ name: String, _ parameter: String) throws {
  guard count > 0 else {
    throw TensorError(.argument, name, "\(parameter) should be a positive whole number, but got \(parameter) = \(count)")
  }
}

/// Positions in their natural order.
public struct SequentialSampler: Sampler {
  /// How many positions a pass has.
  public let count: Int

  /// 0 to `count` − 1.
  public init(_ count: Int) { self.count = count }

  /// The positions from 0 on, in one piece.
  public func makePass() -> SamplerPass {
    SamplerPass { [count] number, _ in number == 0 ? .range(0..<count) : nil }
  }
}

/// Positions in random order, or drawn one by one so that some come often and some not at all.
public struct RandomSampler: Sampler {
  /// How many positions a pass has.
  public let count: Int
  private let total: Int
  private let replacement: Bool
  private let generator: Generator?

  /// Of 0 to `total` − 1, `samples` of them, all where it is nil; more than there are begin anew. Without a generator each pass
  /// draws a seed from the context's.
  public init(_ total: Int, replacement: Bool = false, samples: Int? = nil, generator: Generator? = nil) throws {
    try requirePositive(samples ?? total, "RandomSampler", "num_samples")
    guard total > 0 else { throw TensorError(.argument, "RandomSampler", "there are no samples to draw from") }
    count = samples ?? total
    (self.total, self.replacement, self.generator) = (total, replacement, generator)
  }

  /// Another order at every pass.
  public func makePass() -> SamplerPass {
    SamplerPass(generator: generator, makesGenerator: true) { [total, count, replacement] number, generator in
      if replacement {
        // By 32, as PyTorch draws.
        let rounds = count / 32
        guard number <= rounds else { return nil }
        return .list(generator.integers(below: total, count: number < rounds ? 32 : count % 32))
      }
      // The last is drawn too where nothing of it is taken.
      let rounds = count / total
      guard number <= rounds else { return nil }
      let order = try generator.drawing { try Tensor.randperm(total) }
      return .drawn(order, count: number < rounds ? total : count % total)
    }
  }
}

/// Some positions in random order.
public struct SubsetRandomSampler: Sampler {
  private let positions: [Int]
  private let generator: Generator?

  /// Each of the positions once.
  public init(_ positions: [Int], generator: Generator? = nil) {
    (self.positions, self.generator) = (positions, generator)
  }

  /// The number of positions.
  public var count: Int { positions.count }

  /// The positions in another order at every pass.
  public func makePass() -> SamplerPass {
    SamplerPass(generator: generator) { [positions] number, generator in
      number == 0 ? .list(generator.permutation(positions.count).map { positions[$0] }) : nil
    }
  }
}

/// Positions drawn with probabilities relative to one another.
public struct WeightedRandomSampler: Sampler {
  /// How many positions a pass has.
  public let count: Int
  private let weights: [Double]
  private let replacement: Bool
  private let generator: Generator?

  /// `samples` positions of those that have weights; without replacement all different.
  public init(_ weights: [Double], _ samples: Int, replacement: Bool = true, generator: Generator? = nil) throws {
    func refuse(_ facts: TensorError.Facts) -> TensorError { TensorError(.argument, "WeightedRandomSampler", facts) }
    try requirePositive(samples, "WeightedRandomSampler", "num_samples")
    guard !weights.isEmpty else { throw refuse("there are no weights") }
    for (position, weight) in weights.enumerated() where !(weight >= 0 && weight.isFinite) {
      throw refuse("weight \(index: position) is \(weight); weights are finite and not negative")
    }
    guard weights.contains(where: { $0 > 0 }) else { throw refuse("all weights are 0") }
    guard replacement || samples <= weights.count else {
      throw refuse("\(samples) samples cannot be drawn from \(weights.count) without replacement")
    }
    count = samples
    (self.weights, self.replacement, self.generator) = (weights, replacement, generator)
  }

  /// Other positions at every pass.
  public func makePass() -> SamplerPass {
    SamplerPass(generator: generator) { [weights, count, replacement] number, generator in
      guard number == 0 else { return nil }
      let drawn = try withNoGrad {
        try generator.drawing { try Tensor(weights, dtype: .float64).multinomial(count, replacement: replacement) }
      }
      return .drawn(try drawn.packed(), count: count)
    }
  }
}

/// Positions as they stand in a list.
public struct ListSampler: Sampler {
  private let positions: [Int]

  /// The same in each pass.
  public init(_ positions: [Int]) { self.positions = positions }

  /// The length of the list.
  public var count: Int { positions.count }

  /// The list from its beginning.
  public func makePass() -> SamplerPass {
    SamplerPass { [positions] number, _ in number == 0 ? .list(positions) : nil }
  }
}
