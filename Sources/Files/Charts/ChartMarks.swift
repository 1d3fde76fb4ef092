// What a chart is made of once it is laid out: areas, lines and words, in points from the upper left corner.

struct ChartPoint {
  var x, y: Double

  init(_ x: Double, _ y: Double) {
    self.x = x
    self.y = y
  }
}

/// A color, 0xRRGGBB.
struct ChartColor {
  let bits: UInt32

  init(_ bits: UInt32) { self.bits = bits }

  static let ink = ChartColor(0x2b2b2b)
  static let quiet = ChartColor(0x6b6b6b)
  static let axis = ChartColor(0x9a9a9a)
  static let grid = ChartColor(0xe4e4e4)
  static let faint = ChartColor(0xf3f3f3)
  static let paper = ChartColor(0xffffff)

  /// Colors that are told apart by the color-blind too, the first four best.
  static let series = [0x4269d0, 0xe39a00, 0xf0553f, 0x2a9d8f, 0x8f5bd6, 0x3ca951, 0xe86ca5, 0x5fa8e8, 0x9c6b4e, 0x7f858d]
    .map { ChartColor($0) }

  /// Red, green and blue.
  var parts: (UInt8, UInt8, UInt8) { (UInt8(bits >> 16 & 255), UInt8(bits >> 8 & 255), UInt8(bits & 255)) }

  var hexadecimal: String {
    let digits = String(bits, radix: 16)
    return "#" + String(repeating: "0", count: 6 - digits.count) + digits
  }
}

/// A part of a picture, drawn over those before it.
enum ChartMark {
  /// The inside of a closed line.
  case area([ChartPoint], ChartColor, opacity: Double)
  /// A line with round ends; through one point alone a dot. `dash` is how long its parts and the gaps are, 0 for a whole line.
  case line([ChartPoint], ChartColor, width: Double, dash: Double = 0, opacity: Double = 1)
  /// One line of words at a place of their baseline.
  case words(String, at: ChartPoint, size: Double, ChartColor, ChartAnchor = .start, isRotated: Bool = false, isBold: Bool = false)
}

/// Which part of a text stands at its place.
enum ChartAnchor: String {
  case start, middle, end
}
