// What the kernels' tests share: element types, values worth trying, loop nests, and distances in ulp.
import CKernels
import Foundation
import Testing

/// A Swift type that tensors hold.
protocol Element: Hashable, Comparable, Numeric, BitwiseCopyable, Sendable {
  static var dtype: mg_dtype { get }
}

extension Float: Element { static var dtype: mg_dtype { MG_F32 } }
extension Double: Element { static var dtype: mg_dtype { MG_F64 } }
extension Int64: Element { static var dtype: mg_dtype { MG_I64 } }
extension Int32: Element { static var dtype: mg_dtype { MG_I32 } }
extension UInt8: Element { static var dtype: mg_dtype { MG_U8 } }

/// Numbers that repeat from run to run (SplitMix64).
struct Numbers {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  mutating func uniform(_ low: Double, _ high: Double) -> Double {
    low + (high - low) * Double(next() >> 11) * 0x1p-53
  }
}

// MARK: values worth trying

protocol FloatElement: Element, BinaryFloatingPoint {
  static func any(_ numbers: inout Numbers) -> Self
}
extension Float: FloatElement {
  static func any(_ numbers: inout Numbers) -> Float { Float(bitPattern: UInt32(truncatingIfNeeded: numbers.next())) }
}
extension Double: FloatElement {
  static func any(_ numbers: inout Numbers) -> Double { Double(bitPattern: numbers.next()) }
}

extension FloatElement {
  /// Zeros, denormals, halves, integers, the huge, the tiny, infinities and NaN.
  static var edges: [Self] {
    let positive: [Self] = [
      0, leastNonzeroMagnitude, leastNonzeroMagnitude * 7, leastNormalMagnitude, 1e-30, 1e-8, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5,
      3, 3.5, 6, 7, 10, 20, 21, 40, 88, 89, 100, 104, 16_777_216, 1e10, 1e30, greatestFiniteMagnitude, infinity,
    ]
    return positive + positive.map { -$0 } + [nan]
  }

  /// The edges, numbers of any bits, and numbers of ordinary size.
  static func samples(_ count: Int, seed: UInt64 = 1) -> [Self] {
    var numbers = Numbers(seed), result = edges
    for i in 0..<count { result.append(i % 2 == 0 ? any(&numbers) : Self(numbers.uniform(-20, 20))) }
    return result
  }
}

extension FixedWidthInteger {
  static var edges: [Self] {
    var result: [Self] = [0, 1, 2, 3, 5, 7, 8, 10, 31, 32, 63, 64, 100, max, max - 1, max / 2, min, min + 1]
    if isSigned { result += [-1, -2, -3, -7, -10, -32, -100].map { Self(truncatingIfNeeded: $0) } }
    return result
  }
}

// MARK: distances

/// How far a result is from the true value, in units of the last place of the result nearest to it.
func distance<T: FloatElement>(_ result: T, _ truth: Double) -> Double {
  let nearest = T(truth)
  if truth.isNaN { return result.isNaN ? 0 : .infinity }
  if nearest.isInfinite { return result == nearest || (result.isFinite && truth.isFinite) ? 0 : .infinity }
  if result.isInfinite { return abs(nearest) == T.greatestFiniteMagnitude && (result < 0) == (truth < 0) ? 1 : .infinity }
  return abs(Double(result) - truth) / Double(Swift.max(nearest.magnitude, T.leastNormalMagnitude).ulp)
}

/// Equal, both NaN, and of one sign where both are zero.
func isSame<T: FloatElement>(_ a: T, _ b: T) -> Bool {
  a.isNaN ? b.isNaN : a == b && a.sign == b.sign
}

/// The same for elements, as far as both go.
func areSame<T: FloatElement>(_ a: some Sequence<T>, _ b: some Sequence<T>) -> Bool {
  zip(a, b).allSatisfy { isSame($0, $1) }
}

// MARK: loop nests

func loop(_ sizes: [Int], _ strides: [Int]...) -> mg_loop {
  var loop = mg_loop()
  loop.rank = Int32(sizes.count)
  withUnsafeMutableBytes(of: &loop.size) { bytes in
    let size = bytes.bindMemory(to: Int64.self)
    for (d, n) in sizes.enumerated() { size[d] = Int64(n) }
  }
  withUnsafeMutableBytes(of: &loop.stride) { bytes in
    let stride = bytes.bindMemory(to: Int64.self)
    for (k, operand) in strides.enumerated() {
      for (d, s) in operand.enumerated() { stride[k * Int(MG_MAX_RANK) + d] = Int64(s) }
    }
  }
  return loop
}

/// Strides of a contiguous tensor.
func contiguous(_ sizes: [Int]) -> [Int] {
  var strides = sizes
  var next = 1
  for d in sizes.indices.reversed() {
    strides[d] = next
    next *= sizes[d]
  }
  return strides
}

func flat(_ n: Int) -> mg_loop { loop([n], [1], [1], [1], [1]) }

/// The offsets a nest visits, in its order.
func offsets(_ sizes: [Int], _ strides: [Int]) -> [Int] {
  var result = [0]
  for (n, s) in zip(sizes, strides) { result = result.flatMap { base in (0..<n).map { base + $0 * s } } }
  return result
}

/// A new array of `count` elements, filled by `body` through a pointer.
func filled<T: Element>(_ count: Int, _ body: (UnsafeMutablePointer<T>) -> Void) -> [T] {
  var result = [T](repeating: 0, count: Swift.max(count, 1))
  result.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
  return Array(result.prefix(count))
}

/// The results with 1 and with 2 threads, which must be the same bits.
func onOneAndTwoThreads<T: Equatable>(_ body: () -> T) -> (T, T) {
  let before = mg_threads()
  defer { mg_set_threads(before) }
  mg_set_threads(1)
  let one = body()
  mg_set_threads(2)
  return (one, body())
}

// MARK: kernels by name

/// What can be an operand: an array that is read, or a pointer that is written through.
protocol Bytes {
  func withBytes(_ body: (UnsafeMutableRawPointer?) -> Void)
}
extension Array: Bytes where Element: CKernelsTests.Element {
  func withBytes(_ body: (UnsafeMutableRawPointer?) -> Void) {
    withUnsafeBytes { body(UnsafeMutableRawPointer(mutating: $0.baseAddress)) }
  }
}
extension UnsafeMutablePointer: Bytes {
  func withBytes(_ body: (UnsafeMutableRawPointer?) -> Void) { body(UnsafeMutableRawPointer(self)) }
}

/// Memory that kernels write and read.
final class Room<T: Element>: Bytes {
  private let memory: UnsafeMutableBufferPointer<T>
  let count: Int

  init(_ elements: [T]) {
    memory = .allocate(capacity: Swift.max(elements.count, 1))
    _ = memory.initialize(from: elements)
    count = elements.count
  }

  deinit { memory.deallocate() }

  var elements: [T] { Array(memory.prefix(count)) }

  func withBytes(_ body: (UnsafeMutableRawPointer?) -> Void) { body(UnsafeMutableRawPointer(memory.baseAddress)) }
}

/// Runs the kernel of that name on operands of `count` elements.
@discardableResult
func run(
  _ name: String, _ dtype: mg_dtype, _ operands: [(any Bytes)?], _ count: Int, sizes: [Int] = [], number: Double = 0
) -> (Double, Double) {
  run(name, dtype, operands, counts: [Int](repeating: count, count: Int(MG_OPERANDS)), sizes: sizes, number: number)
}

/// The same on operands of so many elements each.
@discardableResult
func run(
  _ name: String, _ dtype: mg_dtype, _ operands: [(any Bytes)?], counts: [Int], sizes: [Int] = [], number: Double = 0
) -> (Double, Double) {
  var call = mg_call()
  call.dtype = dtype
  call.number.0 = number
  withUnsafeMutableBytes(of: &call.size) { _ = $0.bindMemory(to: Int64.self).update(fromContentsOf: sizes.map(Int64.init)) }
  withUnsafeMutableBytes(of: &call.count) { _ = $0.bindMemory(to: Int64.self).update(fromContentsOf: counts.map(Int64.init)) }
  func enter(_ position: Int) {
    guard position < operands.count else { return mg_kernel_named(name)!.pointee.run(&call) }
    guard let operand = operands[position] else { return enter(position + 1) }
    operand.withBytes { address in
      withUnsafeMutableBytes(of: &call.operand) { $0.bindMemory(to: UnsafeMutableRawPointer?.self)[position] = address }
      enter(position + 1)
    }
  }
  enter(0)
  return call.result
}
