// The law of random numbers: every call of Fixtures/random.txt (written by scripts/fixtures/random_numbers.py with PyTorch)
// draws what PyTorch drew, in the order of one stream.

import Foundation
import Tensors
import Testing

@Suite struct RandomTests {
  @Test func everyCallDrawsWhatPyTorchDraws() throws {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/random.txt")
    let generator = Generator(seed: 0)
    var (numbers, sameBits) = (0, 0)
    for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") where line.first != "#" {
      let words = line.split(separator: " ")
      if words[0] == "seed" {
        generator.manualSeed(Int(words[1])!)
        continue
      }
      let colon = words.firstIndex(of: ":")!
      let expected = words[(colon + 1)...]
      let all = draw(words[..<colon].map(String.init), from: generator)
      let drawn = all.count <= 40 ? all : stride(from: 0, to: all.count, by: 23).map { all[$0] }
      try #require(drawn.count == expected.count, "\(line)")
      for (mine, theirs) in zip(drawn, expected) {
        numbers += 1
        sameBits += mine.description == theirs ? 1 : 0
        #expect(
          mine.isNear(theirs), "\(words[..<colon].joined(separator: " ")): \(mine.description) \(theirs)")
      }
    }
    // The C library's log, cos and sin may differ in a last bit from those of the machine that wrote the file.
    #expect(numbers > 14_000)
    #expect(
      Double(sameBits) > 0.999 * Double(numbers), "\(numbers - sameBits) of \(numbers) differ in some bit")
  }

  @Test func aStateContinuesTheStream() {
    let generator = Generator(seed: 7)
    _ = floats(generator, 3)  // leaves half of a pair
    let state = generator.currentState
    let first = floats(generator, 5) + floats(generator, 700)
    #expect(floats(generator, 5) != Array(first.prefix(5)))

    generator.currentState = state
    #expect(floats(generator, 5) + floats(generator, 700) == first)
    let other = Generator()
    other.currentState = state
    #expect(other.initialSeed == 7)
    #expect(floats(other, 5) + floats(other, 700) == first)
    generator.currentState = Generator(seed: 3).currentState
    #expect(floats(generator, 5) == floats(Generator(seed: 3), 5))
  }

  @Test func seedingForgetsHalfOfAPair() {
    let generator = Generator(seed: 0)
    let first = floats(generator, 1)
    generator.manualSeed(UInt64(0))
    #expect(floats(generator, 1) == first)
  }

  @Test func unseededGeneratorsDiffer() {
    #expect(Generator.unpredictable().initialSeed != Generator.unpredictable().initialSeed)
  }

  private func floats(_ generator: Generator, _ count: Int) -> [Float] {
    filled(count, Float(0)) { generator.normal(into: $0) }
  }
}

/// One drawn number, described as the fixture file describes it.
private enum Drawn: CustomStringConvertible {
  case float(Float)
  case double(Double)
  case integer(Int64)

  var description: String {
    switch self {
    case .float(let value): hexadecimal(UInt64(value.bitPattern), digits: 8)
    case .double(let value): hexadecimal(value.bitPattern, digits: 16)
    case .integer(let value): String(value)
    }
  }

  func isNear(_ text: Substring) -> Bool {
    switch self {
    case .float(let value):
      let other = Float(bitPattern: UInt32(text, radix: 16)!)
      return abs(value - other) <= 1e-6 * abs(other)
    case .double(let value):
      let other = Double(bitPattern: UInt64(text, radix: 16)!)
      return abs(value - other) <= 1e-13 * abs(other)
    case .integer(let value):
      return value == Int64(text)!
    }
  }

  private func hexadecimal(_ bits: UInt64, digits: Int) -> String {
    let text = String(bits, radix: 16)
    return String(repeating: "0", count: digits - text.count) + text
  }
}

private func filled<T>(_ count: Int, _ value: T, by fill: (UnsafeMutableBufferPointer<T>) -> Void) -> [T] {
  var values = [T](repeating: value, count: count)
  values.withUnsafeMutableBufferPointer { fill($0) }
  return values
}

/// Draws as a line of the fixture file says: name, dtype, count, arguments.
private func draw(_ call: [String], from generator: Generator) -> [Drawn] {
  let count = Int(call[2])!
  let arguments = call.dropFirst(3).map { Double($0)! }
  switch (call[0], call[1]) {
  case ("uniform", "float32"):
    return filled(count, 0) { generator.uniform(into: $0, from: arguments[0], to: arguments[1]) }.map(
      Drawn.float)
  case ("uniform", _):
    return filled(count, 0) { generator.uniform(into: $0, from: arguments[0], to: arguments[1]) }.map(
      Drawn.double)
  case ("normal", "float32"):
    return filled(count, 0) { generator.normal(into: $0, mean: arguments[0], std: arguments[1]) }.map(
      Drawn.float)
  case ("normal", _):
    return filled(count, 0) { generator.normal(into: $0, mean: arguments[0], std: arguments[1]) }.map(
      Drawn.double)
  case ("exponential", "float32"):
    return filled(count, 0) { generator.exponential(into: $0, rate: arguments[0]) }.map(Drawn.float)
  case ("exponential", _):
    return filled(count, 0) { generator.exponential(into: $0, rate: arguments[0]) }.map(Drawn.double)
  case ("randint", _):
    return filled(count, 0) { generator.randint(low: Int64(call[3])!, high: Int64(call[4])!, into: $0) }
      .map(Drawn.integer)
  case ("permutation", _):
    return filled(count, 0) { generator.permutation(into: $0) }.map(Drawn.integer)
  case ("cauchy", _): return (0..<count).map { _ in .double(generator.nextCauchy(median: arguments[0], sigma: arguments[1])) }
  case ("log_normal", _): return (0..<count).map { _ in .double(generator.nextLogNormal(mean: arguments[0], std: arguments[1])) }
  case ("geometric", _): return (0..<count).map { _ in .double(generator.nextGeometric(arguments[0])) }
  case ("poisson", _): return (0..<count).map { _ in .double(generator.nextPoisson(arguments[0])) }
  case ("words", let dtype):
    let most: UInt64 = dtype == "float32" ? 1 << 24 + 1 : dtype == "float64" ? 1 << 53 + 1 : 1 << 63
    return (0..<count).map { _ in .integer(Int64(generator.nextBelow(most, wide: dtype != "float32"))) }
  case ("bernoulli", _):
    return tosses(count) { generator.bernoulli(probability: arguments[0], into: $0) }
  case ("bernoullis", "float32"):
    let probabilities = (0..<count).map { Float($0) / Float(count) }
    return tosses(count) { tosses in
      probabilities.withUnsafeBufferPointer { generator.bernoulli(probabilities: $0, into: tosses) }
    }
  case ("bernoullis", _):
    let probabilities = (0..<count).map { Double($0) / Double(count) }
    return tosses(count) { tosses in
      probabilities.withUnsafeBufferPointer { generator.bernoulli(probabilities: $0, into: tosses) }
    }
  default:
    Issue.record("unknown call \(call)")
    return []
  }
}

private func tosses(_ count: Int, by fill: (UnsafeMutableBufferPointer<Bool>) -> Void) -> [Drawn] {
  filled(count, false, by: fill).map { .integer($0 ? 1 : 0) }
}
