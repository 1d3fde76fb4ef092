// Axes: which part of the numbers is shown, where the ticks are, and what is written at them.

import Glibc

/// A direction of a chart: numbers to places from 0 to 1.
struct ChartAxis {
  struct Tick {
    let place: Double
    /// Empty for a line without a number.
    let label: String
  }

  let isLogarithmic: Bool
  /// What is shown, as powers of ten where the axis is logarithmic.
  private(set) var low: Double
  private(set) var high: Double

  /// An axis over numbers, of which those that cannot be shown are left out. Where `startsAtZero`, it starts there if the numbers come
  /// near it; where `isTight`, it ends at the numbers and not a little beyond.
  init(_ low: Double, _ high: Double, isLogarithmic: Bool, isTight: Bool = false, startsAtZero: Bool = false) {
    self.isLogarithmic = isLogarithmic
    guard low <= high else {
      (self.low, self.high) = (0, 1)
      return
    }
    if isLogarithmic {
      func bounded(_ value: Double) -> Double { log10(min(max(value, 1e-300), 1e300)) }
      (self.low, self.high) = (bounded(low), bounded(high))
    } else {
      // Sums of the largest numbers are none, and neither are quotients of the smallest.
      func bounded(_ value: Double) -> Double { abs(value) < 1e-300 ? 0 : min(max(value, -1e300), 1e300) }
      (self.low, self.high) = (bounded(low), bounded(high))
    }
    let size = max(abs(self.low), abs(self.high))
    let span = self.high - self.low
    // A difference that is only rounding is none that could be shown.
    if span <= size * 1e-9 {
      let room = isLogarithmic ? 0.5 : size == 0 ? 1 : size * 0.1
      self.low -= room
      self.high += room
    } else if !isTight {
      let room = span * 0.04
      let startsThere = !isLogarithmic && startsAtZero && self.low >= 0 && self.low < 0.35 * self.high
      self.low = startsThere ? 0 : self.low - room
      self.high += room
    }
  }

  /// The place of a number, from 0 to 1, where what lies beyond an end is put; nil for one that cannot be shown.
  func place(_ value: Double) -> Double? {
    guard value.isFinite, !isLogarithmic || value > 0 else { return nil }
    return min(max(((isLogarithmic ? log10(value) : value) - low) / (high - low), 0), 1)
  }

  /// About as many ticks as asked for, at round numbers.
  func ticks(about count: Int, whole: Bool = false) -> [Tick] {
    guard isLogarithmic else { return even(low, high, count, whole: whole) { ($0 - low) / (high - low) } }
    let (first, last) = (Int(low.rounded(.up)), Int(high.rounded(.down)))
    let decades = last - first + 1
    if decades < 2 {
      let (from, to) = (pow(10, low), pow(10, high))
      // Within one power of ten, ticks are round by sums.
      if to / from < 8 { return even(from, to, count, whole: false) { (log10($0) - low) / (high - low) } }
    }
    var ticks: [Tick] = []
    let stride = max(1, (decades + count - 1) / max(count, 1))
    for power in (first - 1)...(max(last, first) + 1) {
      for digit in 1...9 {
        let place = (Double(power) + log10(Double(digit)) - low) / (high - low)
        guard -1e-9...1 + 1e-9 ~= place else { continue }
        let isNamed = digit == 1 ? power % stride == 0 : decades <= 2 && (digit == 2 || digit == 5)
        guard isNamed || (stride == 1 && high - low < 12) else { continue }
        ticks.append(Tick(place: place, label: isNamed ? ChartNumber.power(Double(digit), power) : ""))
      }
    }
    return ticks
  }

  /// Ticks at multiples of 1, 2 or 5 times a power of ten.
  private func even(_ low: Double, _ high: Double, _ count: Int, whole: Bool, _ place: (Double) -> Double) -> [Tick] {
    let rough = (high - low) / Double(max(count, 1))
    var power = Int(log10(rough).rounded(.down))
    var digit = 1.0
    let ratio = rough / pow(10, Double(power))
    if ratio > 5 { (digit, power) = (1, power + 1) } else if ratio > 2 { digit = 5 } else if ratio > 1.0001 { digit = 2 }
    if whole, power < 0 { (digit, power) = (1, 0) }
    let step = digit * pow(10, Double(power))
    let (first, last) = ((low / step - 1e-6).rounded(.up), (high / step + 1e-6).rounded(.down))
    guard step > 0, last >= first, last - first < 1000 else { return [] }
    let size = max(abs(low), abs(high))
    let isPlain = size < 1e6 && size >= 1e-3
    let exponent = isPlain ? 0 : Int(log10(size).rounded(.down))
    return (0...Int(last - first)).map { index in
      let value = (first + Double(index)) * step
      let label = ChartNumber.fixed(isPlain ? value : value / pow(10, Double(exponent)), max(0, exponent - power))
      return Tick(place: place(value), label: value == 0 ? "0" : isPlain ? label : "\(label)·10\(ChartNumber.raised(exponent))")
    }
  }
}

/// Numbers as charts write them.
enum ChartNumber {
  /// With so many places behind the point.
  static func fixed(_ value: Double, _ places: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "−inf" : "inf" }
    let places = min(max(places, 0), 15)
    let scaled = (abs(value) * pow(10, Double(places))).rounded()
    guard scaled < 9e18 else { return "\(value)" }
    var digits = String(UInt64(scaled))
    if places > 0 {
      if digits.count <= places { digits = String(repeating: "0", count: places + 1 - digits.count) + digits }
      digits.insert(".", at: digits.index(digits.endIndex, offsetBy: -places))
    }
    return value < 0 && scaled > 0 ? "−" + digits : digits
  }

  /// With four digits that count; very large and small ones by a power of ten.
  static func short(_ value: Double) -> String {
    guard value.isFinite, abs(value) > 1e-300 else { return fixed(value, 0) }
    var exponent = Int(log10(abs(value)).rounded(.down))
    // What rounds up to the next power.
    if abs(value) / pow(10, Double(exponent)) >= 9.9995 { exponent += 1 }
    if -4...5 ~= exponent { return trimmed(fixed(value, 3 - exponent)) }
    return trimmed(fixed(value / pow(10, Double(exponent)), 3)) + "·10" + raised(exponent)
  }

  private static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    var text = text
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }

  /// A digit times a power of ten.
  static func power(_ digit: Double, _ power: Int) -> String {
    if -3...4 ~= power { return fixed(digit * pow(10, Double(power)), max(0, -power)) }
    return (digit == 1 ? "" : "\(Int(digit))·") + "10" + raised(power)
  }

  /// An exponent.
  static func raised(_ exponent: Int) -> String {
    let digits: [Character] = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"]
    return String(String(exponent).map { $0 == "-" ? "⁻" : digits[$0.wholeNumberValue ?? 0] })
  }
}
