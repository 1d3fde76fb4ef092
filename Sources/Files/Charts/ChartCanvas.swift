// A chart as pixels: areas and lines with smooth edges.

import Tensors

/// Pixels that marks are drawn on.
struct ChartCanvas {
  let width, height: Int
  /// How many pixels a point is wide.
  private let scale: Double
  private var pixels: [UInt8]
  /// How much of each pixel what is being drawn covers; 0 between two marks.
  private var cover: [Float]

  init(width: Int, height: Int, scale: Double) {
    self.width = width
    self.height = height
    self.scale = scale
    pixels = [UInt8](repeating: 255, count: 3 * width * height)
    cover = [Float](repeating: 0, count: width * height)
  }

  /// What was drawn, uint8 `(3, height, width)`.
  func image() throws -> Tensor {
    let rows = try Tensor(uninitialized: Shape([height, width, 3]), .uint8)
    pixels.withUnsafeBytes { rows.data.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    return try withNoGrad { try rows.permute([2, 0, 1]).contiguous().detach() }
  }

  mutating func draw(_ mark: ChartMark) {
    switch mark {
    case .area(let points, let color, let opacity):
      let region = fill(points.map { ChartPoint($0.x * scale, $0.y * scale) })
      paint(region, color, opacity)
    case .line(let points, let color, let width, let dash, let opacity):
      let points = points.map { ChartPoint($0.x * scale, $0.y * scale) }
      var region = Region()
      for piece in dash > 0 ? Self.dashes(points, dash * scale) : [points] { region.add(stroke(piece, width * scale)) }
      paint(region, color, opacity)
    case .words(let text, let place, let size, let color, let anchor, let isRotated, let isBold):
      let share: Double = anchor == .start ? 0 : anchor == .middle ? 0.5 : 1
      let start = ChartFont.width(text, size, isBold: isBold) * share
      var region = Region()
      for line in ChartFont.lines(text, size, isBold: isBold) {
        let points = line.map { point in
          let (along, up) = (point.x - start, point.y)
          let (x, y) = isRotated ? (place.x - up, place.y - along) : (place.x + along, place.y - up)
          return ChartPoint(x * scale, y * scale)
        }
        region.add(stroke(points, ChartFont.weight(size, isBold: isBold) * scale))
      }
      paint(region, color, 1)
    }
  }

  // MARK: Painting

  /// A rectangle of pixels; empty at first.
  private struct Region {
    var (left, top, right, bottom) = (Int.max, Int.max, Int.min, Int.min)

    mutating func add(_ other: Region) {
      (left, top) = (min(left, other.left), min(top, other.top))
      (right, bottom) = (max(right, other.right), max(bottom, other.bottom))
    }
  }

  /// The pixels that points with room around them touch.
  private func region(_ points: [ChartPoint], _ room: Double) -> Region? {
    guard var (left, top) = points.first.map({ ($0.x, $0.y) }) else { return nil }
    var (right, bottom) = (left, top)
    for point in points {
      (left, right) = (min(left, point.x), max(right, point.x))
      (top, bottom) = (min(top, point.y), max(bottom, point.y))
    }
    // What is far outside is on no pixel, and may be no whole number either.
    func bounded(_ value: Double, _ most: Int) -> Int { Int(min(max(value, 0), Double(most))) }
    return Region(
      left: bounded(left - room, width - 1), top: bounded(top - room, height - 1), right: bounded(right + room + 1, width - 1),
      bottom: bounded(bottom + room + 1, height - 1))
  }

  /// Mixes a color into the pixels as far as they are covered, and forgets that they are.
  private mutating func paint(_ region: Region, _ color: ChartColor, _ opacity: Double) {
    guard region.left <= region.right, region.top <= region.bottom else { return }
    let (red, green, blue) = color.parts
    func mixed(_ old: UInt8, _ new: UInt8, _ share: Float) -> UInt8 { UInt8(Float(old) + (Float(new) - Float(old)) * share + 0.5) }
    for y in region.top...region.bottom {
      for place in y * width + region.left...y * width + region.right where cover[place] > 0 {
        let share = min(cover[place], 1) * Float(opacity)
        cover[place] = 0
        pixels[3 * place] = mixed(pixels[3 * place], red, share)
        pixels[3 * place + 1] = mixed(pixels[3 * place + 1], green, share)
        pixels[3 * place + 2] = mixed(pixels[3 * place + 2], blue, share)
      }
    }
  }

  // MARK: Lines

  /// Covers a line with round ends: each pixel by how near it is, and where parts of the line meet, by the nearer one.
  private mutating func stroke(_ points: [ChartPoint], _ width: Double) -> Region {
    guard let whole = region(points, width / 2 + 1) else { return Region() }
    let radius = width / 2
    // Thinner than a pixel is paler.
    let most = min(1, width)
    let segments = points.count == 1 ? [(points[0], points[0])] : Array(zip(points, points.dropFirst()))
    for (from, to) in segments {
      guard let part = region([from, to], radius + 1) else { continue }
      let (dx, dy) = (to.x - from.x, to.y - from.y)
      let length = dx * dx + dy * dy
      for y in part.top...part.bottom {
        let py = Double(y) + 0.5 - from.y
        // Of a steep row only what is near the line: where the line passes the rows around this one.
        var (first, last) = (part.left, part.right)
        if abs(dy) > 1e-9, abs(dx) > 2 {
          let reach = radius + 1.5
          let (a, b) = ((py - reach) / dy, (py + reach) / dy)
          let (near, far) = (min(max(min(a, b), 0), 1), min(max(max(a, b), 0), 1))
          let (p, q) = (from.x + near * dx, from.x + far * dx)
          first = max(first, Int(max(min(p, q) - reach, 0)))
          last = min(last, Int(min(max(p, q) + reach, Double(self.width - 1))))
        }
        guard first <= last else { continue }
        for x in first...last {
          let px = Double(x) + 0.5 - from.x
          let t = length > 0 ? min(max((px * dx + py * dy) / length, 0), 1) : 0
          let (ex, ey) = (px - t * dx, py - t * dy)
          let distance = (ex * ex + ey * ey).squareRoot()
          let share = Float(min(max(radius + 0.5 - distance, 0), 1) * most)
          let place = y * self.width + x
          if share > cover[place] { cover[place] = share }
        }
      }
    }
    return whole
  }

  /// The parts of a line that are drawn where it is dashed.
  private static func dashes(_ points: [ChartPoint], _ length: Double) -> [[ChartPoint]] {
    var pieces: [[ChartPoint]] = []
    var piece: [ChartPoint] = points.first.map { [$0] } ?? []
    var (isDrawn, left) = (true, length)
    for (start, end) in zip(points, points.dropFirst()) {
      var from = start
      while true {
        let (dx, dy) = (end.x - from.x, end.y - from.y)
        let distance = (dx * dx + dy * dy).squareRoot()
        guard distance > left else {
          left -= distance
          if isDrawn { piece.append(end) }
          break
        }
        from = ChartPoint(from.x + dx * left / distance, from.y + dy * left / distance)
        if isDrawn { pieces.append(piece + [from]) }
        piece = [from]
        isDrawn.toggle()
        left = length
      }
    }
    if isDrawn, !piece.isEmpty { pieces.append(piece) }
    return pieces
  }

  // MARK: Areas

  /// Covers the inside of a closed line: by four lines through each row, each exact to where it enters and leaves.
  private mutating func fill(_ points: [ChartPoint]) -> Region {
    guard points.count > 2, let whole = region(points, 0) else { return Region() }
    let lines = 4
    let share = 1 / Float(lines)
    // Where the line passes each of them, from which side.
    var crossings = [[(x: Double, direction: Int)]](repeating: [], count: (whole.bottom - whole.top + 1) * lines)
    for (index, from) in points.enumerated() {
      let to = points[index + 1 == points.count ? 0 : index + 1]
      guard from.y != to.y else { continue }
      let (upper, lower, direction) = from.y < to.y ? (from, to, 1) : (to, from, -1)
      let offset = Double(whole.top)
      let first = Int(max(((upper.y - offset) * Double(lines) - 0.5).rounded(.up), 0))
      let last = Int(min(((lower.y - offset) * Double(lines) - 0.5).rounded(.up), Double(crossings.count))) - 1
      guard first <= last else { continue }
      let slope = (lower.x - upper.x) / (lower.y - upper.y)
      for line in first...last {
        let y = offset + (Double(line) + 0.5) / Double(lines)
        crossings[line].append((upper.x + (y - upper.y) * slope, direction))
      }
    }
    for (line, unsorted) in crossings.enumerated() where !unsorted.isEmpty {
      let row = (whole.top + line / lines) * width
      var winding = 0
      let sorted = unsorted.sorted { $0.x < $1.x }
      for (crossing, next) in zip(sorted, sorted.dropFirst()) {
        winding += crossing.direction
        if winding != 0 { cover(row, from: crossing.x, to: next.x, share) }
      }
    }
    return whole
  }

  /// Covers a part of a row, the pixels at its ends by how much of them it has.
  private mutating func cover(_ row: Int, from: Double, to: Double, _ share: Float) {
    let (from, to) = (max(from, 0), min(to, Double(width)))
    guard from < to else { return }
    let (first, last) = (Int(from), min(Int(to), width - 1))
    if first == last {
      cover[row + first] += Float(to - from) * share
      return
    }
    cover[row + first] += Float(Double(first + 1) - from) * share
    for x in first + 1..<max(last, first + 1) { cover[row + x] += share }
    cover[row + last] += Float(to - Double(last)) * share
  }
}
