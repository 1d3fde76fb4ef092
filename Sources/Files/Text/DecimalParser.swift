// Decimal numbers in text, rounded correctly: as strtod does, but for what people write several times as fast.

import Glibc

/// Reads decimal numbers from bytes, after which eight more may be read, none of which continues a number.
struct DecimalParser {
  private let tens: UnsafePointer<Double>
  private let fives: UnsafePointer<UInt64>

  /// 10^22 is the last power of ten that a double holds exactly, and 5^27 the last of five in 64 bits.
  private static let mostTens = 22, mostFives = 27
  private nonisolated(unsafe) static let powers: (tens: UnsafePointer<Double>, fives: UnsafePointer<UInt64>) = {
    let tens = UnsafeMutablePointer<Double>.allocate(capacity: mostTens + 1)
    let fives = UnsafeMutablePointer<UInt64>.allocate(capacity: mostFives + 1)
    for power in 0...mostTens { tens[power] = power == 0 ? 1 : tens[power - 1] * 10 }
    for power in 0...mostFives { fives[power] = power == 0 ? 1 : fives[power - 1] * 5 }
    return (UnsafePointer(tens), UnsafePointer(fives))
  }()

  init() { (tens, fives) = DecimalParser.powers }

  /// The number that begins at `start`, and where it ends; nil where none does. A sign, digits with at most one point among them,
  /// and an exponent; or `inf`, `infinity` and `nan` in any case.
  @inline(__always)
  func number(_ start: UnsafePointer<UInt8>, _ value: inout Double) -> UnsafePointer<UInt8>? {
    var p = start
    let isNegative = p.pointee == UInt8(ascii: "-")
    if isNegative || p.pointee == UInt8(ascii: "+") { p += 1 }
    var mantissa: UInt64 = 0
    var first = p
    digits(&p, &mantissa)
    var count = p - first
    var exponent = 0
    if p.pointee == UInt8(ascii: ".") {
      p += 1
      first = p
      digits(&p, &mantissa)
      exponent = first - p
      count += -exponent
    }
    guard count > 0 else { return special(start, &value) }
    if p.pointee | 0x20 == UInt8(ascii: "e") {
      guard let end = readExponent(p + 1, &exponent) else { return nil }
      p = end
    }
    // What has more digits does not fit into 64 bits, unless zeros lead.
    if count <= 19, let size = magnitude(mantissa, exponent) {
      value = isNegative ? -size : size
    } else {
      value = slow(start, p)
    }
    return p
  }

  /// Digits from `p` on, after those of `mantissa`, eight at a time.
  @inline(__always)
  private func digits(_ p: inout UnsafePointer<UInt8>, _ mantissa: inout UInt64) {
    while true {
      var eight = UInt64(littleEndian: UnsafeRawPointer(p).loadUnaligned(as: UInt64.self))
      let high: UInt64 = 0xf0f0_f0f0_f0f0_f0f0
      // Each byte from 0x30 to 0x39: so is its upper half, also when 6 is added.
      guard eight & high | (eight &+ 0x0606_0606_0606_0606) & high >> 4 == 0x3333_3333_3333_3333 else { break }
      eight = (eight & 0x0f0f_0f0f_0f0f_0f0f) &* 2561 >> 8
      eight = (eight & 0x00ff_00ff_00ff_00ff) &* 6_553_601 >> 16
      eight = (eight & 0x0000_ffff_0000_ffff) &* 42_949_672_960_001 >> 32
      mantissa = mantissa &* 100_000_000 &+ eight
      p += 8
    }
    while true {
      let digit = p.pointee &- 0x30
      if digit > 9 { return }
      mantissa = mantissa &* 10 &+ UInt64(digit)
      p += 1
    }
  }

  private func readExponent(_ start: UnsafePointer<UInt8>, _ exponent: inout Int) -> UnsafePointer<UInt8>? {
    var p = start
    let isNegative = p.pointee == UInt8(ascii: "-")
    if isNegative || p.pointee == UInt8(ascii: "+") { p += 1 }
    let first = p
    var given = 0
    while p.pointee &- 0x30 <= 9 {
      given = min(given * 10 + Int(p.pointee &- 0x30), 1_000_000)
      p += 1
    }
    guard p > first else { return nil }
    exponent += isNegative ? -given : given
    return p
  }

  /// mantissa · 10^exponent, rounded once; nil where that takes more than 128 bits.
  @inline(__always)
  private func magnitude(_ mantissa: UInt64, _ exponent: Int) -> Double? {
    let mostTens = DecimalParser.mostTens, mostFives = DecimalParser.mostFives
    if mantissa <= 1 << 53, exponent >= -mostTens, exponent <= mostTens {
      // Both are exact, so that the one operation rounds once.
      return exponent < 0 ? Double(mantissa) / tens[-exponent] : Double(mantissa) * tens[exponent]
    }
    guard exponent >= -mostFives, exponent <= mostFives else { return mantissa == 0 ? 0 : nil }
    if exponent < 0 {
      // A quotient of 63 or 64 bits, and whether something is left.
      let (up, five) = (mantissa.leadingZeroBitCount, fives[-exponent])
      let down = five.leadingZeroBitCount
      let dividend = mantissa << UInt64(up)
      let (quotient, rest) = (five << UInt64(down)).dividingFullWidth((dividend >> 1, dividend << 63))
      return rounded(quotient, rest != 0, down - up + exponent - 63)
    }
    let (high, low) = mantissa.multipliedFullWidth(by: fives[exponent])
    if high == 0 { return rounded(low, false, exponent) }
    let up = high.leadingZeroBitCount
    let top = up == 0 ? high : high << UInt64(up) | low >> UInt64(64 - up)
    return rounded(top, low << UInt64(up) != 0, exponent + 64 - up)
  }

  /// bits · 2^exponent to the nearest, in the middle to even; `more` says that the bits go on behind. Far from the ends of the range.
  @inline(__always)
  private func rounded(_ bits: UInt64, _ more: Bool, _ exponent: Int) -> Double {
    let excess = 11 - bits.leadingZeroBitCount
    var (mantissa, exponent) = (bits, exponent)
    if excess > 0 {
      let rest = bits & (1 << UInt64(excess) - 1), half = 1 << UInt64(excess - 1)
      mantissa = bits >> UInt64(excess)
      exponent += excess
      if rest > half || rest == half && (more || mantissa & 1 == 1) { mantissa += 1 }
    }
    return Double(mantissa) * Double(bitPattern: UInt64(exponent + 1023) << 52)
  }

  /// Any other number, by the C library, whatever the locale.
  @inline(never)
  private func slow(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Double {
    Double(String(decoding: UnsafeBufferPointer(start: start, count: end - start), as: UTF8.self)) ?? .nan
  }

  @inline(never)
  private func special(_ start: UnsafePointer<UInt8>, _ value: inout Double) -> UnsafePointer<UInt8>? {
    var p = start
    let isNegative = p.pointee == UInt8(ascii: "-")
    if isNegative || p.pointee == UInt8(ascii: "+") { p += 1 }
    func takes(_ word: StaticString) -> Bool {
      for i in 0..<word.utf8CodeUnitCount where p[i] | 0x20 != word.utf8Start[i] { return false }
      p += word.utf8CodeUnitCount
      return true
    }
    if takes("inf") {
      _ = takes("inity")
      value = isNegative ? -.infinity : .infinity
      return p
    }
    guard takes("nan") else { return nil }
    value = .nan
    return p
  }
}
