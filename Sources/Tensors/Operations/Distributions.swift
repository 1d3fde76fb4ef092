// What is drawn from a generator: uniform, normal and exponential numbers, integers, permutations and coin tosses,
// each from the words, and by the arithmetic, of PyTorch's CPU kernels. The results are PyTorch's to the last bit
// (its fused multiply-adds included) wherever the C library's `log`, `log1p`, `cos` and `sin` are those it was
// measured with.
//
// Words are drawn into the destination itself and converted where they lie, in loops a compiler can vectorise.

import CKernels
import Glibc

// Long draws end early where what runs is to end; whoever uses what was drawn asks `Context.checkStop` first.

// MARK: Uniform

extension Generator {
  /// Fills `numbers` with float32 numbers in `from..<to`, of one word each.
  ///
  /// The bounds are rounded to float32 first, and a result may round up to `to`, as in PyTorch.
  package func uniform(into numbers: UnsafeMutableBufferPointer<Float>, from: Double = 0, to: Double = 1) {
    guard let base = numbers.baseAddress else { return }
    drawWords(into: base, count: numbers.count)
    Context.heeding { mg_uniform_f32(Int64(numbers.count), base, Float(from), Float(to) - Float(from)) }
  }

  /// Fills `numbers` with float64 numbers in `from..<to`, of two words each.
  package func uniform(into numbers: UnsafeMutableBufferPointer<Double>, from: Double = 0, to: Double = 1) {
    guard let base = numbers.baseAddress else { return }
    drawUnits(into: numbers)
    guard from != 0 || to != 1 else { return }
    Context.inPieces(numbers.count) { base[$0] = from.addingProduct(base[$0], to - from) }
  }

  /// Fills `numbers` with multiples of 2⁻⁵³ in [0, 1).
  private func drawUnits(into numbers: UnsafeMutableBufferPointer<Double>) {
    guard let base = numbers.baseAddress else { return }
    drawWords(into: base, count: 2 * numbers.count)
    let words = UnsafeMutableRawPointer(base)
    Context.inPieces(numbers.count) { index in
      let high = words.load(fromByteOffset: 8 * index, as: UInt32.self)
      let low = words.load(fromByteOffset: 8 * index + 4, as: UInt32.self)
      base[index] = unitDouble(UInt64(high) << 32 | UInt64(low))
    }
  }
}

/// The low 24 bits as a multiple of 2⁻²⁴ in [0, 1).
private func unitFloat(_ word: UInt32) -> Float {
  Float(Int32(bitPattern: word & 0xff_ffff)) * 0x1p-24
}

/// The low 53 bits as a multiple of 2⁻⁵³ in [0, 1).
private func unitDouble(_ word: UInt64) -> Double {
  Double(Int64(bitPattern: word & 0x1f_ffff_ffff_ffff)) * 0x1p-53
}

// MARK: Normal

extension Generator {
  /// Fills `numbers` with normally distributed float32 numbers.
  ///
  /// Fewer than 16 are drawn one by one, and half of a pair may remain for the next call. From 16 on they are drawn
  /// in blocks of 16, and no pair remains or is used: this is PyTorch's rule for contiguous tensors.
  package func normal(into numbers: UnsafeMutableBufferPointer<Float>, mean: Double = 0, std: Double = 1) {
    guard let base = numbers.baseAddress, numbers.count >= 16 else {
      for index in numbers.indices { numbers[index] = Float(nextNormal(mean: mean, std: std)) }
      return
    }
    uniform(into: numbers)
    Context.heeding { mg_normal_f32(Int64(numbers.count / 16), base, Float(mean), Float(std)) }
    if numbers.count % 16 != 0 {
      let last = UnsafeMutableBufferPointer(start: base + numbers.count - 16, count: 16)
      uniform(into: last)
      mg_normal_f32(1, last.baseAddress!, Float(mean), Float(std))
    }
  }

  /// Fills `numbers` with normally distributed float64 numbers, by the same rule.
  package func normal(into numbers: UnsafeMutableBufferPointer<Double>, mean: Double = 0, std: Double = 1) {
    guard let base = numbers.baseAddress, numbers.count >= 16 else {
      for index in numbers.indices { numbers[index] = nextNormal(mean: mean, std: std) }
      return
    }
    drawUnits(into: numbers)
    let whole = UnsafeMutableBufferPointer(start: base, count: numbers.count & ~15)
    transformBlocks(whole, mean: mean, std: std)
    if whole.count < numbers.count {
      let last = UnsafeMutableBufferPointer(start: base + numbers.count - 16, count: 16)
      drawUnits(into: last)
      transformBlocks(last, mean: mean, std: std)
    }
  }

  /// One number by Box and Muller's transform, or the one that remained of the last pair.
  private func nextNormal(mean: Double, std: Double) -> Double {
    if let pending = pendingNormal {
      pendingNormal = nil
      return mean.addingProduct(pending, std)
    }
    let angle = 2 * Double.pi * unitDouble(nextDoubleWord())
    let radius = (-2 * log1p(-unitDouble(nextDoubleWord()))).squareRoot()
    pendingNormal = radius * sin(angle)
    return mean.addingProduct(radius * cos(angle), std)
  }
}

/// Turns blocks of 16 uniform numbers into normal ones: numbers j and j + 8 of a block are a pair.
private func transformBlocks(_ numbers: UnsafeMutableBufferPointer<Double>, mean: Double, std: Double) {
  Context.inPieces(numbers.count / 2) { pair in
    let place = numbers.baseAddress! + (pair + (pair & ~7))
    let radius = (-2 * log(1 - place[0])).squareRoot()
    let angle = 2 * Double.pi * place[8]
    place[0] = mean.addingProduct(radius * cos(angle), std)
    place[8] = mean.addingProduct(radius * sin(angle), std)
  }
}

// MARK: Exponential

extension Generator {
  /// Fills `numbers` with exponentially distributed float32 numbers of the given rate (λ).
  package func exponential(into numbers: UnsafeMutableBufferPointer<Float>, rate: Double = 1) {
    Context.inPieces(numbers.count) { numbers[$0] = Float(nextExponential(rate)) }
  }

  /// Fills `numbers` with exponentially distributed float64 numbers of the given rate (λ).
  package func exponential(into numbers: UnsafeMutableBufferPointer<Double>, rate: Double = 1) {
    Context.inPieces(numbers.count) { numbers[$0] = nextExponential(rate) }
  }

  private func nextExponential(_ rate: Double) -> Double {
    -1 / rate * log1p(-unitDouble(nextDoubleWord()))
  }
}

// MARK: Integers and permutations

extension Generator {
  /// Fills `numbers` with integers in `low..<high`, which must not be empty.
  ///
  /// A range below 2²⁸ takes one word a number, a larger one two.
  package func randint(low: Int64, high: Int64, into numbers: UnsafeMutableBufferPointer<Int64>) {
    precondition(low < high, "randint: an empty range")
    guard let base = numbers.baseAddress else { return }
    let range = UInt64(bitPattern: high &- low)
    guard range < 1 << 28 else {
      return Context.inPieces(numbers.count) { numbers[$0] = low &+ Int64(bitPattern: nextDoubleWord() % range) }
    }
    // The words lie in the upper half of the buffer; writing number i passes no word after i.
    let words = UnsafeMutableRawPointer(base) + 4 * numbers.count
    drawWords(into: words, count: numbers.count)
    let divisor = UInt32(range)
    Context.inPieces(numbers.count) { base[$0] = low &+ Int64(words.load(fromByteOffset: 4 * $0, as: UInt32.self) % divisor) }
  }

  /// Fills `indices` with a permutation of `0..<indices.count`.
  package func permutation(into indices: UnsafeMutableBufferPointer<Int64>) {
    Context.inPieces(indices.count) { indices[$0] = Int64($0) }
    Context.inPieces(indices.count - 1) { index in
      let rest = UInt64(indices.count - index)
      let word = indices.count <= UInt32.max ? UInt64(nextWord()) : nextDoubleWord()
      indices.swapAt(index, index + Int(word % rest))
    }
  }
}

// MARK: Coin tosses

extension Generator {
  /// Tosses a coin for each float32 probability; of one word each.
  package func bernoulli(
    probabilities: UnsafeBufferPointer<Float>, into tosses: UnsafeMutableBufferPointer<Bool>
  ) {
    Context.inPieces(probabilities.count) { tosses[$0] = unitFloat(nextWord()) < probabilities[$0] }
  }

  /// Tosses a coin for each float64 probability; of two words each.
  package func bernoulli(
    probabilities: UnsafeBufferPointer<Double>, into tosses: UnsafeMutableBufferPointer<Bool>
  ) {
    Context.inPieces(probabilities.count) { tosses[$0] = unitDouble(nextDoubleWord()) < probabilities[$0] }
  }

  /// Tosses coins of one probability, as `bernoulli_(p)` and dropout do; of two words each.
  ///
  /// PyTorch draws these from its own stream on AMD processors, as here, and from a stream of MKL's on Intel's.
  package func bernoulli(probability: Double, into tosses: UnsafeMutableBufferPointer<Bool>) {
    Context.inPieces(tosses.count) { tosses[$0] = unitDouble(nextDoubleWord()) < probability }
  }
}

// MARK: One by one, in double precision

extension Generator {
  /// A multiple of 2⁻⁵³ in [0, 1), of two words.
  package func nextUnit() -> Double { unitDouble(nextDoubleWord()) }

  /// A number of Cauchy's distribution, of two words.
  package func nextCauchy(median: Double, sigma: Double) -> Double {
    median.addingProduct(sigma, tan(Double.pi * (nextUnit() - 0.5)))
  }

  /// e to the power of a normally distributed number, which may be the second of a pair.
  package func nextLogNormal(mean: Double, std: Double) -> Double { exp(nextNormal(mean: mean, std: std)) }

  /// How many tosses it takes until a coin of that probability shows its head, of two words.
  package func nextGeometric(_ probability: Double) -> Double { (log(nextUnit()) / log1p(-probability)).rounded(.up) }

  /// A count of Poisson's distribution: by a product of uniform numbers for small rates, else by W. Hörmann's transformed
  /// rejection (1993), as PyTorch draws it.
  package func nextPoisson(_ rate: Double) -> Double {
    if rate == 0 { return 0 }
    if rate < 10 {
      let least = exp(-rate)
      var product = nextUnit()
      var count = 0.0
      while product > least {
        count += 1
        product *= nextUnit()
      }
      return count
    }
    let root = rate.squareRoot(), logarithm = log(rate)
    let b = 0.931 + 2.53 * root, a = -0.059 + 0.02483 * b
    let inverse = 1.1239 + 1.1328 / (b - 3.4), most = 0.9277 - 3.6224 / (b - 2)
    while true {
      let u = nextUnit() - 0.5, v = nextUnit()
      let side = 0.5 - abs(u)
      let count = ((2 * a / side + b) * u + rate + 0.43).rounded(.down)
      if side >= 0.07, v <= most { return count }
      if count < 0 || side < 0.013 && v > side { continue }
      if log(v) + log(inverse) - log(a / (side * side) + b) <= -rate + count * logarithm - lgamma(count + 1) { return count }
    }
  }

  /// A whole number below `count`, of one word or two.
  package func nextBelow(_ count: UInt64, wide: Bool) -> UInt64 { (wide ? nextDoubleWord() : UInt64(nextWord())) % count }
}
