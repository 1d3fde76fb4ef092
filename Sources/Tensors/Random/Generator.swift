// The source of random numbers: the Mersenne Twister mt19937, seeded and drawn from as PyTorch's CPU generator is,
// so that `manual_seed(n)` gives the stream that `torch.manual_seed(n)` gives. What is made of its words is in
// Distributions.swift.
//
// M. Matsumoto, T. Nishimura: Mersenne Twister, ACM TOMACS 8 (1998); initialisation of 2002.

import CKernels

/// A stream of random 32-bit words, with what its distributions remember between calls.
///
/// Each context has one, which functions draw from that are given none. One of your own keeps a stream apart: of the order of
/// a data set, say, which then is the same whatever the model draws.
///
/// ```swift
/// let generator = Generator()
/// generator.manualSeed(3)
/// let (train, test) = try generator.drawing { try (Tensor.rand([2]), Tensor.randn([2])) }
/// ```
public final class Generator {
  /// Everything that decides what the generator draws next.
  package struct State: Equatable, Sendable {
    /// The seed the stream began with.
    package var seed: UInt64
    /// The twister's 624 words.
    package var words: [UInt32]
    /// How many words of the current block are drawn, 0...624.
    package var position: Int
    /// The second of a pair of normal numbers, of which the first was drawn.
    package var pendingNormal: Double?
  }

  /// The seed the stream began with, as `initial_seed` reports it.
  public private(set) var initialSeed: UInt64

  /// The second of a pair of normal numbers, kept for the next call that wants a single one.
  var pendingNormal: Double?

  // The twister's state, and the words it stands for: both 624 long, in one allocation. A whole block is made
  // at once, in loops without branches, so that drawing is copying.
  private let state: UnsafeMutablePointer<UInt32>
  private var drawable: UnsafeMutablePointer<UInt32> { state + Self.size }
  private var position = Generator.size

  static let size = 624
  private static let shift = 397

  /// A generator whose stream begins as `manual_seed(seed)` begins it.
  package init(seed: UInt64) {
    state = .allocate(capacity: 2 * Self.size)
    state.initialize(repeating: 0, count: 2 * Self.size)
    initialSeed = seed
    manualSeed(seed)
  }

  /// A generator whose stream begins as that of a generator of PyTorch's does, always the same.
  public convenience init() {
    self.init(seed: 67_280_421_310_721)
  }

  /// A generator with a seed from the operating system, which is how a session begins that never seeds.
  package static func unpredictable() -> Generator { Generator(seed: UInt64.random(in: 0 ... .max)) }

  /// A generator that draws from here on what this one does.
  public func copy() -> Generator {
    let copy = Generator(seed: initialSeed)
    copy.currentState = currentState
    return copy
  }

  deinit {
    state.deallocate()
  }

  /// Begins the stream of `seed`. As in PyTorch only the low 32 bits count.
  package func manualSeed(_ seed: UInt64) {
    initialSeed = seed
    pendingNormal = nil
    position = Self.size
    state[0] = UInt32(truncatingIfNeeded: seed)
    for k in 1..<Self.size {
      state[k] = 1_812_433_253 &* (state[k - 1] ^ (state[k - 1] >> 30)) &+ UInt32(k)
    }
  }

  /// Begins the stream of a seed that may be negative, which PyTorch reads as its two's complement.
  public func manualSeed(_ seed: Int) {
    manualSeed(UInt64(bitPattern: Int64(seed)))
  }

  /// Begins the stream of a seed from the operating system, which it returns; not negative.
  @discardableResult
  public func seed() -> Int {
    let seed = Int.random(in: 0 ... .max)
    manualSeed(seed)
    return seed
  }

  /// What the generator draws next, to be continued by assigning it, here or to another generator.
  package var currentState: State {
    get {
      State(
        seed: initialSeed, words: Array(UnsafeBufferPointer(start: state, count: Self.size)),
        position: position,
        pendingNormal: pendingNormal)
    }
    set {
      initialSeed = newValue.seed
      pendingNormal = newValue.pendingNormal
      position = newValue.position
      newValue.words.withUnsafeBufferPointer { state.update(from: $0.baseAddress!, count: Self.size) }
      mg_twister_temper(state, drawable)
    }
  }

  /// The next word.
  func nextWord() -> UInt32 {
    if position == Self.size { makeBlock() }
    defer { position += 1 }
    return drawable[position]
  }

  /// The next two words as one number, the first being the high half.
  func nextDoubleWord() -> UInt64 {
    let high = UInt64(nextWord())
    return high << 32 | UInt64(nextWord())
  }

  /// Draws the next `count` words into memory of any type, unless what runs is to end.
  func drawWords(into destination: UnsafeMutableRawPointer, count: Int) {
    var drawn = 0
    while drawn < count {
      if position == Self.size {
        makeBlock()
        if drawn > 1 << 20, Context.isStopping { return }
      }
      let length = min(count - drawn, Self.size - position)
      (destination + 4 * drawn).copyMemory(from: drawable + position, byteCount: 4 * length)
      position += length
      drawn += length
    }
  }

  private func makeBlock() {
    mg_twister_next(state, drawable)
    position = 0
  }
}
