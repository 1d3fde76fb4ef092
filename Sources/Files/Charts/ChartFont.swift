// The letters of charts where they are pixels: lines, drawn for this file, with round ends. They are about as wide as those of the
// fonts without serifs that a viewer of SVG takes, so that they measure words for both.

/// Letters made of lines.
enum ChartFont {
  /// A letter: its lines in units of which a capital is 7 high, up from the baseline, and how far the next one is.
  struct Glyph {
    var lines: [[ChartPoint]]
    var advance: Double
  }

  /// Units in the size of a font.
  private static let units = 9.8
  private static let gap = 1.85

  /// The thickness of a letter's lines.
  static func weight(_ size: Double, isBold: Bool) -> Double { size * (isBold ? 0.135 : 0.088) }

  /// How wide a line of words is.
  static func width(_ text: String, _ size: Double, isBold: Bool = false) -> Double {
    var units = 0.0
    for scalar in text.unicodeScalars { units += glyph(scalar).advance + (isBold ? 0.35 : 0) }
    return units * size / Self.units
  }

  /// The text, or the beginning of it that has room, with a mark that there was more.
  static func shortened(_ text: String, _ size: Double, _ room: Double, isBold: Bool = false) -> String {
    // What is much too long need not be measured.
    var text = text.count > 400 ? String(text.prefix(400)) + "…" : text
    let room = room + 0.01
    guard width(text, size, isBold: isBold) > room else { return text }
    while !text.isEmpty, width(text + "…", size, isBold: isBold) > room { text.removeLast() }
    return text + "…"
  }

  /// The lines of words, from the origin to the right and upwards, in points.
  static func lines(_ text: String, _ size: Double, isBold: Bool = false) -> [[ChartPoint]] {
    let scale = size / units
    var (lines, x) = ([[ChartPoint]](), 0.0)
    for scalar in text.unicodeScalars {
      let glyph = glyph(scalar)
      for line in glyph.lines { lines.append(line.map { ChartPoint((x + gap / 2 + $0.x) * scale, $0.y * scale) }) }
      x += glyph.advance + (isBold ? 0.35 : 0)
    }
    return lines
  }

  private static func glyph(_ scalar: Unicode.Scalar) -> Glyph { glyphs[scalar] ?? missing(scalar) }

  /// What there is no letter for: a box, and nothing for marks over the letter before.
  private static func missing(_ scalar: Unicode.Scalar) -> Glyph {
    let properties = scalar.properties
    if properties.isWhitespace || scalar.value < 32 { return Glyph(lines: [], advance: 2.7) }
    switch properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return Glyph(lines: [], advance: 0)
    default: break
    }
    // East Asian letters and pictures are about twice as wide.
    let width = scalar.value >= 0x2e80 ? 6.6 : 3.6
    let box = [(0.0, 0.0), (0.0, 7.0), (width, 7.0), (width, 0.0), (0.0, 0.0)].map { ChartPoint($0.0, $0.1) }
    return Glyph(lines: [box], advance: width + gap)
  }

  private static let glyphs: [Unicode.Scalar: Glyph] = {
    var glyphs: [Unicode.Scalar: Glyph] = [" ": Glyph(lines: [], advance: 2.7), "\u{a0}": Glyph(lines: [], advance: 2.7)]
    // The one that divides lines below.
    glyphs["|"] = Glyph(lines: [[ChartPoint(0, 8), ChartPoint(0, -1.8)]], advance: gap)
    for entry in drawings.split(separator: "\n") {
      let parts = entry.split(separator: " ", maxSplits: 1)
      let lines = parts[1].split(separator: "|").map { read(String($0)) }
      let width = lines.joined().map(\.x).max() ?? 0
      for name in parts[0].unicodeScalars {
        // Digits are of one width, so that numbers stand below each other.
        glyphs[name] = Glyph(lines: lines, advance: ("0"..."9" ~= name ? 4 : width) + gap)
      }
    }
    for (raised, plain) in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻".unicodeScalars, "0123456789−".unicodeScalars) {
      guard let glyph = glyphs[plain] else { continue }
      let lines = glyph.lines.map { $0.map { ChartPoint($0.x * 0.62, $0.y * 0.62 + 3.6) } }
      glyphs[raised] = Glyph(lines: lines, advance: (glyph.advance - gap) * 0.62 + 1.2)
    }
    for entry in accented.split(separator: " ") {
      let parts = Array(entry.unicodeScalars)
      guard let base = glyphs[parts[1]], let accent = glyphs[parts[2]] else { continue }
      // A capital is higher, and what hangs from a letter does so from both.
      let isCapital = parts[1].properties.isUppercase
      let middle = (base.advance - gap) / 2 - (accent.advance - gap) / 2
      let lines = base.lines.prefix(parts[1] == "i" ? 1 : base.lines.count)
      let rise = parts[2] == "¸" ? 0.0 : isCapital ? 2.2 : 0
      let above = accent.lines.map { $0.map { ChartPoint($0.x + middle, $0.y + rise) } }
      glyphs[parts[0]] = Glyph(lines: lines + above, advance: base.advance)
    }
    return glyphs
  }()

  /// A line of a drawing: points, and after ~ the point to which a curve bends on its way to the next.
  private static func read(_ text: String) -> [ChartPoint] {
    var points: [ChartPoint] = []
    var bend: ChartPoint?
    for word in text.split(separator: " ") {
      let numbers = word.drop { $0 == "~" }.split(separator: ",").compactMap { Double($0) }
      guard numbers.count == 2 else { continue }
      let point = ChartPoint(numbers[0], numbers[1])
      if word.first == "~" {
        bend = point
      } else if let corner = bend, let start = points.last {
        // A part of an ellipse: closer to the corner than to the line between the ends.
        let steps = 8
        let pull = 0.5523
        let (a, b) = (start.between(corner, pull), point.between(corner, pull))
        for step in 1...steps { points.append(ChartPoint(start, a, b, point, Double(step) / Double(steps))) }
        bend = nil
      } else {
        points.append(point)
      }
    }
    return points
  }
}

extension ChartPoint {
  fileprivate func between(_ other: ChartPoint, _ share: Double) -> ChartPoint {
    ChartPoint(x + (other.x - x) * share, y + (other.y - y) * share)
  }

  /// On a cubic curve.
  fileprivate init(_ a: ChartPoint, _ b: ChartPoint, _ c: ChartPoint, _ d: ChartPoint, _ t: Double) {
    let s = 1 - t
    let (p, q, r, u) = (s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t)
    self.init(p * a.x + q * b.x + r * c.x + u * d.x, p * a.y + q * b.y + r * c.y + u * d.y)
  }
}

/// Letters and their lines, divided by |; see `read`.
private let drawings = #"""
  0 2,0 ~0,0 0,2.2 0,4.8 ~0,7 2,7 ~4,7 4,4.8 4,2.2 ~4,0 2,0
  1 0.9,5.5 2.4,7 2.4,0
  2 0.1,5.2 ~0.1,7 2,7 ~3.9,7 3.9,5.3 ~3.9,4.1 2.7,2.9 0,0 4,0
  3 0.2,5.5 ~0.4,7 2,7 ~3.7,7 3.7,5.3 ~3.7,3.75 1.7,3.75|1.7,3.75 ~4,3.75 4,1.9 ~4,0 2,0 ~0.2,0 0,1.6
  4 3.1,0 3.1,7 0,2 4.2,2
  5 3.7,7 0.6,7 0.3,3.7 ~0.9,4.5 2.1,4.5 ~4,4.5 4,2.3 ~4,0 2,0 ~0.3,0 0,1.5
  6 3.7,5.7 ~3.4,7 2.1,7 ~0,7 0,3.4 0,2.2 ~0,0 2,0 ~4,0 4,2.15 ~4,4.3 2.1,4.3 ~0,4.3 0,2.3
  7 0,7 4,7 ~1.9,3.9 1.4,0
  8 2,3.8 ~0.3,3.8 0.3,5.4 ~0.3,7 2,7 ~3.7,7 3.7,5.4 ~3.7,3.8 2,3.8 ~0,3.8 0,1.9 ~0,0 2,0 ~4,0 4,1.9 ~4,3.8 2,3.8
  9 0.3,1.3 ~0.6,0 1.9,0 ~4,0 4,3.6 4,4.8 ~4,7 2,7 ~0,7 0,4.85 ~0,2.7 1.9,2.7 ~4,2.7 4,4.7
  A 0,0 2.5,7 5,0|0.95,2.5 4.05,2.5
  B 0,3.8 2.6,3.8 ~4.1,3.8 4.1,5.4 ~4.1,7 2.5,7 0,7 0,0 2.7,0 ~4.5,0 4.5,1.9 ~4.5,3.8 2.6,3.8
  C 4.8,5 ~4.2,7 2.7,7 ~0,7 0,3.5 ~0,0 2.7,0 ~4.4,0 4.9,2.2
  D 0,0 0,7 2.1,7 ~4.9,7 4.9,3.5 ~4.9,0 2.1,0 0,0
  E 4.1,7 0,7 0,0 4.3,0|0,3.7 3.8,3.7
  F 4,7 0,7 0,0|0,3.6 3.5,3.6
  G 4.8,5.1 ~4.2,7 2.7,7 ~0,7 0,3.5 ~0,0 2.7,0 ~4.1,0 5,1.2 5,3.4 2.9,3.4
  H 0,0 0,7|4.6,0 4.6,7|0,3.7 4.6,3.7
  I 0,0 0,7
  J 3,7 3,2 ~3,0 1.5,0 ~0,0 0,2
  K 0,0 0,7|4.4,7 0,2.6|1.6,4.2 4.6,0
  L 0,7 0,0 3.6,0
  M 0,0 0,7 2.75,0.6 5.5,7 5.5,0
  N 0,0 0,7 4.6,0 4.6,7
  O 2.7,0 ~0,0 0,3.5 ~0,7 2.7,7 ~5.4,7 5.4,3.5 ~5.4,0 2.7,0
  P 0,0 0,7 2.5,7 ~4.4,7 4.4,5 ~4.4,3 2.5,3 0,3
  Q 2.7,0 ~0,0 0,3.5 ~0,7 2.7,7 ~5.4,7 5.4,3.5 ~5.4,0 2.7,0|3.3,1.7 5.4,-0.4
  R 0,0 0,7 2.5,7 ~4.4,7 4.4,5 ~4.4,3 2.5,3 0,3|2.6,3 4.5,0
  S 4.2,5.3 ~3.9,7 2.2,7 ~0.2,7 0.2,5.3 ~0.2,4.1 2.2,3.6 ~4.5,3.1 4.5,1.8 ~4.5,0 2.3,0 ~0.1,0 0,1.8
  T 0,7 5,7|2.5,7 2.5,0
  U 0,7 0,2.4 ~0,0 2.3,0 ~4.6,0 4.6,2.4 4.6,7
  V 0,7 2.4,0 4.8,7
  W 0,7 1.7,0 3.4,6.8 5.1,0 6.8,7
  X 0,0 4.6,7|0,7 4.6,0
  Y 0,7 2.4,3 4.8,7|2.4,3 2.4,0
  Z 0.2,7 4.4,7 0,0 4.5,0
  a 0.3,3.8 ~0.5,5 1.8,5 ~3.4,5 3.4,3.6 3.4,1 ~3.4,0.1 4,0.05|3.4,2.9 1.9,2.75 ~0,2.6 0,1.3 ~0,0 1.4,0 ~3.4,0 3.4,2
  b 0,7.2 0,0|0,2.5 ~0,5 1.9,5 ~3.7,5 3.7,2.5 ~3.7,0 1.9,0 ~0,0 0,2.5
  c 3.35,3.5 ~3,5 1.8,5 ~0,5 0,2.5 ~0,0 1.8,0 ~3,0 3.4,1.6
  d 3.7,7.2 3.7,0|3.7,2.5 ~3.7,5 1.8,5 ~0,5 0,2.5 ~0,0 1.8,0 ~3.7,0 3.7,2.5
  e 0.05,2.7 3.65,2.7 ~3.7,5 1.85,5 ~0,5 0,2.5 ~0,0 1.9,0 ~3.1,0 3.55,1.4
  f 2.4,7.1 ~1,7.5 1,5.9 1,0|0,5 2.2,5
  g 3.7,5 3.7,0.2 ~3.7,-2 1.8,-2 ~0.4,-2 0.1,-0.9|3.7,2.6 ~3.7,5 1.8,5 ~0,5 0,2.6 ~0,0.2 1.8,0.2 ~3.7,0.2 3.7,2.6
  h 0,7.2 0,0|0,2.9 ~0,5 1.9,5 ~3.5,5 3.5,3.3 3.5,0
  i 0,5 0,0|0,6.75 0,6.95
  j 0.8,5 0.8,-1 ~0.8,-2 0,-2|0.8,6.75 0.8,6.95
  k 0,7.2 0,0|3.2,5 0,1.9|1.3,3.1 3.5,0
  l 0,7.2 0,0
  m 0,5 0,0|0,3 ~0,5 1.6,5 ~2.9,5 2.9,3.4 2.9,0|2.9,3 ~2.9,5 4.5,5 ~5.8,5 5.8,3.4 5.8,0
  n 0,5 0,0|0,2.9 ~0,5 1.9,5 ~3.5,5 3.5,3.3 3.5,0
  o 1.9,0 ~0,0 0,2.5 ~0,5 1.9,5 ~3.8,5 3.8,2.5 ~3.8,0 1.9,0
  p 0,5 0,-2|0,2.5 ~0,5 1.9,5 ~3.7,5 3.7,2.5 ~3.7,0 1.9,0 ~0,0 0,2.5
  q 3.7,5 3.7,-2|3.7,2.5 ~3.7,5 1.8,5 ~0,5 0,2.5 ~0,0 1.8,0 ~3.7,0 3.7,2.5
  r 0,5 0,0|0,2.8 ~0.1,5 2.1,4.9
  s 3.05,3.8 ~2.8,5 1.6,5 ~0.2,5 0.2,3.8 ~0.2,2.9 1.6,2.6 ~3.2,2.25 3.2,1.3 ~3.2,0 1.6,0 ~0.1,0 0,1.3
  t 1,6.5 1,1.2 ~1,0 2.3,0.05|0,5 2.2,5
  u 0,5 0,1.7 ~0,0 1.6,0 ~3.5,0 3.5,2.1|3.5,5 3.5,0
  v 0,5 1.8,0 3.6,5
  w 0,5 1.4,0 2.8,4.8 4.2,0 5.6,5
  x 0,0 3.4,5|0,5 3.4,0
  y 0,5 1.8,0.1|3.6,5 1.6,-0.6 ~1.1,-2 0,-1.9
  z 0.1,5 3.3,5 0,0 3.4,0
  ! 0,7 0,2.2|0,0.05 0,0.2
  " 0,7 0,5|1.4,7 1.4,5
  # 1.1,0 1.9,7|3.1,0 3.9,7|0.2,4.8 4.9,4.8|0,2.2 4.7,2.2
  $ 3.7,5.2 ~3.4,6.5 2,6.5 ~0.2,6.5 0.2,5.1 ~0.2,3.9 2,3.5 ~4,3.1 4,1.8 ~4,0.5 2,0.5 ~0.2,0.5 0,1.8|2,7.6 2,-0.6
  % 1.3,7 ~0,7 0,5.5 ~0,4 1.3,4 ~2.6,4 2.6,5.5 ~2.6,7 1.3,7|5.2,3 ~3.9,3 3.9,1.5 ~3.9,0 5.2,0 ~6.5,0 6.5,1.5 ~6.5,3 5.2,3|5.1,7 1.4,0
  & 4.8,0 1.2,4.6 ~0.7,5.3 0.7,5.8 ~0.7,7 1.9,7 ~3.1,7 3.1,5.8 ~3.1,4.8 1.4,3.7 ~0,2.9 0,1.7 ~0,0 1.9,0 ~4,0 4.4,3
  ' 0,7 0,5
  ( 1.4,8 ~0,6 0,3 ~0,0 1.4,-1.8
  ) 0,8 ~1.4,6 1.4,3 ~1.4,0 0,-1.8
  * 1.4,7 1.4,4|0.1,6.2 2.7,4.8|0.1,4.8 2.7,6.2
  + 2,1 2,5|0,3 4,3
  , 0.4,0.2 0.3,-0.4 0,-1.2
  - 0,2.7 2,2.7
  . 0,0.05 0,0.2
  / 0,-0.6 2.6,7.4
  : 0,0.05 0,0.2|0,4.3 0,4.45
  ; 0.4,0.2 0.3,-0.4 0,-1.2|0.4,4.3 0.4,4.45
  < 4,5.4 0,3 4,0.6
  = 0,4 4,4|0,2 4,2
  > 0,5.4 4,3 0,0.6
  ? 0,5.3 ~0.2,7 1.9,7 ~3.6,7 3.6,5.4 ~3.6,4.5 2.6,3.7 ~1.8,3.1 1.8,2|1.8,0.05 1.8,0.2
  @ 5,2.6 ~4.6,1.6 3.4,1.6 ~2,1.6 2,3.4 ~2,5.2 3.6,5.2 ~5,5.2 5,3.6 5,2.4 ~5,1.5 5.9,1.5 ~7,1.5 7,3.6 ~7,7 3.6,7 ~0,7 0,3 ~0,-1 3.7,-1 ~5,-1 6,-0.4
  [ 1.2,8 0,8 0,-1.6 1.2,-1.6
  \ 0,7.4 2.6,-0.6
  ] 0,8 1.2,8 1.2,-1.6 0,-1.6
  ^ 0,7 1.2,8 2.4,7
  _ 0,-1 4.4,-1
  ` 0,8 1.2,6.6
  { 2,8 ~0.9,8 0.9,6.8 0.9,4.2 ~0.9,3.2 0,3.2 ~0.9,3.2 0.9,2.2 0.9,-0.6 ~0.9,-1.7 2,-1.7
  } 0,8 ~1.1,8 1.1,6.8 1.1,4.2 ~1.1,3.2 2,3.2 ~1.1,3.2 1.1,2.2 1.1,-0.6 ~1.1,-1.7 0,-1.7
  ~ 0,2.6 ~0.9,4.1 2,3.2 ~3.2,2.2 4,3.5
  ± 2,2.3 2,6|0,4.15 4,4.15|0,0.8 4,0.8
  − 0,3 4,3
  – 0,2.7 3.6,2.7
  — 0,2.7 6.6,2.7
  … 0,0.05 0,0.2|2.2,0.05 2.2,0.2|4.4,0.05 4.4,0.2
  ·• 0,2.9 0,3.05
  × 0.3,1.3 3.7,4.7|0.3,4.7 3.7,1.3
  ´ 0,6.6 1.2,8
  ¨ 0,6.9 0,7.05|1.8,6.9 1.8,7.05
  ° 1,5.4 ~0,5.4 0,6.3 ~0,7.2 1,7.2 ~2,7.2 2,6.3 ~2,5.4 1,5.4
  ¸ 0.4,0 0.4,-0.6 ~1.2,-0.7 1.1,-1.4 ~1,-2 0,-1.8
  ˜ 0,6.7 ~0.6,7.9 1.2,7.2 ~1.9,6.5 2.4,7.6
  µμ 0,5 0,-2|0,1.7 ~0,0 1.6,0 ~3.5,0 3.5,2.1|3.5,5 3.5,0
  αɑ 3.6,5 ~3,0 1.6,0 ~0,0 0,2.5 ~0,5 1.6,5 ~3,5 3.7,0
  βß 0,-2 0,5.4 ~0,7.2 1.7,7.2 ~3.2,7.2 3.2,5.7 ~3.2,4 1.4,4|1.4,4 ~3.8,4 3.8,2 ~3.8,0 1.8,0 ~0.4,0 0,1
  γ 0,5 1.9,0 3.6,5|1.9,0 1.6,-2
  δ 3.2,6.6 ~2.6,7.2 1.7,7.2 ~0.6,7.2 0.6,6.2 ~0.6,5.4 2,4.8 ~3.8,4.1 3.8,2.3 ~3.8,0 1.9,0 ~0,0 0,2.3 ~0,4.5 2,4.8
  ε 3,4.2 ~2.6,5 1.6,5 ~0.3,5 0.3,3.8 ~0.3,2.7 1.8,2.7|1.8,2.7 ~0,2.7 0,1.3 ~0,0 1.7,0 ~2.8,0 3.2,0.9
  η 0,5 0,0|0,2.9 ~0,5 1.9,5 ~3.5,5 3.5,3.3 3.5,-2
  θ 1.8,0 ~0,0 0,3.6 ~0,7.2 1.8,7.2 ~3.6,7.2 3.6,3.6 ~3.6,0 1.8,0|0.1,3.6 3.5,3.6
  λ 0,7.2 ~0.9,7.2 1.2,6 3.4,0|1.7,4.4 0,0
  π 0,5 4.2,5|1,5 0.8,0|3.2,5 3.2,1 ~3.2,0 4.1,0.1
  ρ 0,-2 0,2.5 ~0,5 1.9,5 ~3.7,5 3.7,2.5 ~3.7,0 1.9,0 ~0,0 0,2.2
  σ 4.2,5 1.9,5 ~0,5 0,2.5 ~0,0 1.8,0 ~3.6,0 3.6,2.5 ~3.6,4.2 2.4,5
  τ 0,5 3.6,5|1.7,5 1.7,1 ~1.7,0 2.7,0.1
  φ 1.9,0 ~0,0 0,2.5 ~0,5 1.9,5 ~3.8,5 3.8,2.5 ~3.8,0 1.9,0|1.9,7 1.9,-2
  ω 0.6,5 ~0,4 0,2.2 ~0,0 1.3,0 ~2.5,0 2.5,2 ~2.5,0 3.7,0 ~5,0 5,2.2 ~5,4 4.4,5|2.5,2 2.5,3
  Δ 0,0 2.5,7 5,0 0,0
  Σ 4.2,7 0.2,7 2.4,3.6 0,0 4.4,0
  ‖ 0,8 0,-1|1.6,8 1.6,-1
  → 0,3 5,3|3.4,4.6 5,3 3.4,1.4
  æ 0.3,3.9 ~0.5,5 1.6,5 ~2.9,5 2.9,3.6 2.9,1.6 ~2.9,0 1.4,0 ~0,0 0,1.3 ~0,2.7 2.9,2.7 6.1,2.7 ~6.2,5 4.5,5 ~2.9,5 2.9,3|2.9,2 ~2.9,0 4.6,0 ~5.7,0 6.1,1.3
  ø 1.9,0 ~0,0 0,2.5 ~0,5 1.9,5 ~3.8,5 3.8,2.5 ~3.8,0 1.9,0|0,-0.4 3.8,5.4
  """#

/// Letters with a mark: the letter, what it is without, and the mark.
private let accented = """
  ÀA` ÁA´ ÂA^ ÃA˜ ÄA¨ ÅA° ÇC¸ ÈE` ÉE´ ÊE^ ËE¨ ÌI` ÍI´ ÎI^ ÏI¨ ÑN˜ ÒO` ÓO´ ÔO^ ÕO˜ ÖO¨ ÙU` ÚU´ ÛU^ ÜU¨ ÝY´ àa` áa´ âa^ ãa˜ äa¨ åa° çc¸ \
  èe` ée´ êe^ ëe¨ ìi` íi´ îi^ ïi¨ ñn˜ òo` óo´ ôo^ õo˜ öo¨ ùu` úu´ ûu^ üu¨ ýy´ ÿy¨
  """
