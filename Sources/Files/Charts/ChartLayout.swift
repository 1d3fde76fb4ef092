// Where everything of a chart stands.

import Glibc

/// A chart being laid out: its marks, from the back to the front.
struct ChartLayout {
  private(set) var marks: [ChartMark] = []
  private let chart: Chart
  private let width, height: Double
  /// The sides of what the axes enclose.
  private var left = 0.0
  private var right = 0.0
  private var top = 0.0
  private var bottom = 0.0
  /// How many numbers could not be shown.
  private var unseen = 0

  private let margin = 16.0
  /// Words of SVG may be wider in the font that a viewer has.
  private let slack = 1.12
  private let small = 12.0

  init(_ chart: Chart, width: Double, height: Double) {
    self.chart = chart
    self.width = width
    self.height = height
  }

  mutating func arrange() {
    marks.append(.area([ChartPoint(0, 0), ChartPoint(width, 0), ChartPoint(width, height), ChartPoint(0, height)], .paper, opacity: 1))
    top = margin
    bottom = height - margin
    heading()
    switch chart.content {
    case .curves(let series): curves(series)
    case .rows(let rows): figures(rows)
    }
    if unseen > 0 {
      let condition = chart.x.isLogarithmic || chart.y.isLogarithmic ? "neither finite nor above 0" : "not finite"
      let text = unseen == 1 ? "1 value is \(condition) and not shown" : "\(unseen) values are \(condition) and not shown"
      words(text, margin, height - 8, .quiet, size: 10)
    }
  }

  // MARK: Pieces

  private mutating func words(
    _ text: String, _ x: Double, _ y: Double, _ color: ChartColor = .ink, size: Double = 12, _ anchor: ChartAnchor = .start,
    isRotated: Bool = false, isBold: Bool = false
  ) {
    guard !text.isEmpty else { return }
    marks.append(.words(text, at: ChartPoint(x, y), size: size, color, anchor, isRotated: isRotated, isBold: isBold))
  }

  private mutating func line(_ from: (Double, Double), _ to: (Double, Double), _ color: ChartColor, width: Double = 1, dash: Double = 0) {
    marks.append(.line([ChartPoint(from.0, from.1), ChartPoint(to.0, to.1)], color, width: width, dash: dash))
  }

  private mutating func dot(_ x: Double, _ y: Double, _ color: ChartColor, width: Double, opacity: Double = 1) {
    marks.append(.line([ChartPoint(x, y)], color, width: width, opacity: opacity))
  }

  private mutating func heading() {
    let room = width - 2 * margin
    if !chart.title.isEmpty {
      words(ChartFont.shortened(chart.title, 16, room, isBold: true), margin, top + 14, size: 16, isBold: true)
      top += 24
    }
    if !chart.subtitle.isEmpty {
      words(ChartFont.shortened(chart.subtitle, small, room), margin, top + 11, .quiet)
      top += 18
    }
    top += 12
  }

  /// The lines and numbers of the axis that goes to the right, below what the axes enclose.
  private mutating func across(_ axis: ChartAxis, _ ticks: [ChartAxis.Tick]) {
    var free = -Double.infinity
    for tick in ticks {
      let x = left + tick.place * (right - left)
      line((x, top), (x, bottom), tick.label.isEmpty ? .faint : .grid)
      let half = ChartFont.width(tick.label, small) / 2
      // Numbers that would touch the one before are left out.
      guard !tick.label.isEmpty, x - half > free else { continue }
      words(tick.label, x, bottom + 17, .quiet, .middle)
      free = x + half + 6
    }
    words(ChartFont.shortened(chart.x.label, small, right - left), (left + right) / 2, bottom + 36, .ink, .middle)
  }

  // MARK: Curves

  private mutating func curves(_ series: [Chart.Series]) {
    let (x, y) = axes(series)
    bottom -= chart.x.label.isEmpty ? 22 : 42
    if unseen > 0 { bottom -= 14 }
    let upwards = y.ticks(about: max(2, Int((bottom - top) / 55)))
    let numbers = upwards.map { ChartFont.width($0.label, small) }.max() ?? 0
    left = margin + (chart.y.label.isEmpty ? 0 : 20) + numbers + 8
    let names = (series.map { ChartFont.width($0.name, small) }.max() ?? 0) * slack
    let legend = names == 0 ? 0 : min(names, width * 0.32)
    right = width - margin - (legend == 0 ? 0 : legend + 40)

    for tick in upwards {
      let place = bottom - tick.place * (bottom - top)
      line((left, place), (right, place), tick.label.isEmpty ? .faint : .grid)
      words(tick.label, left - 8, place + 4, .quiet, .end)
    }
    let isWhole = series.allSatisfy { $0.x.allSatisfy { $0 == $0.rounded() } }
    across(x, x.ticks(about: max(2, Int((right - left) / 90)), whole: isWhole))
    let label = ChartFont.shortened(chart.y.label, small, bottom - top)
    words(label, margin + 10, (top + bottom) / 2, .ink, .middle, isRotated: true)

    for (index, one) in series.enumerated() { band(one, color(index), x, y) }
    for (index, one) in series.enumerated() { curve(one, color(index), dash: dash(index), x, y) }
    line((left, top), (left, bottom), .axis)
    line((left, bottom), (right, bottom), .axis)
    if series.allSatisfy({ $0.y.isEmpty }) { words("no values", (left + right) / 2, (top + bottom) / 2, .quiet, .middle) }
    if legend > 0 { self.legend(series, legend) }
  }

  private func color(_ index: Int) -> ChartColor { ChartColor.series[index % ChartColor.series.count] }

  /// Curves of one color are told apart by their dashes.
  private func dash(_ index: Int) -> Double { Double(index / ChartColor.series.count % 4) * 4 }

  private mutating func legend(_ series: [Chart.Series], _ room: Double) {
    let step = 18.0
    let most = max(1, Int((bottom - top) / step))
    let count = series.count <= most ? series.count : most - 1
    for (index, one) in series.prefix(count).enumerated() {
      let place = top + 6 + Double(index) * step
      line((right + 14, place), (right + 32, place), color(index), width: 2.5, dash: dash(index))
      words(ChartFont.shortened(one.name, small, room), right + 40, place + 4)
    }
    if count < series.count { words("… and \(series.count - count) more", right + 40, top + 10 + Double(count) * step, .quiet) }
  }

  private mutating func axes(_ series: [Chart.Series]) -> (ChartAxis, ChartAxis) {
    var (x, y) = (ChartRange(), ChartRange())
    for one in series {
      for (index, value) in one.y.enumerated() {
        let place = one.place(index)
        guard chart.x.shows(place), chart.y.shows(value) else {
          unseen += 1
          continue
        }
        x.add(place)
        y.add(value)
        let spread = one.spread(index)
        if chart.y.shows(value + spread) { y.add(value + spread) }
        // A band that comes near 0 would take all of a logarithmic axis.
        y.add(chart.y.isLogarithmic ? max(value - spread, value / 10) : value - spread)
      }
    }
    return (
      ChartAxis(x.low, x.high, isLogarithmic: chart.x.isLogarithmic, isTight: true),
      ChartAxis(y.low, y.high, isLogarithmic: chart.y.isLogarithmic, startsAtZero: true)
    )
  }

  private func at(_ x: Double, _ y: Double) -> ChartPoint { ChartPoint(left + x * (right - left), bottom - y * (bottom - top)) }

  /// The spread of a curve: an area for each stretch that has one.
  private mutating func band(_ series: Chart.Series, _ color: ChartColor, _ x: ChartAxis, _ y: ChartAxis) {
    var (upper, lower) = (ChartPath(columns: 1), ChartPath(columns: 1))
    func finish(_ marks: inout [ChartMark]) {
      let (over, under) = (upper.finish(), lower.finish())
      if over.count > 1 { marks.append(.area(over + under.reversed(), color, opacity: 0.16)) }
    }
    for (index, value) in series.y.enumerated() {
      let spread = series.spread(index)
      guard let across = x.place(series.place(index)), y.place(value) != nil, spread > 0, let high = y.place(value + spread) else {
        finish(&marks)
        continue
      }
      upper.add(at(across, high)) { min($0, $1) }
      lower.add(at(across, y.place(value - spread) ?? 0)) { max($0, $1) }
    }
    finish(&marks)
    // What has no width is shown as a bar.
    if series.y.count == 1, series.spread(0) > 0, let across = x.place(series.place(0)), let high = y.place(series.y[0] + series.spread(0))
    {
      let (from, to) = (at(across, y.place(series.y[0] - series.spread(0)) ?? 0), at(across, high))
      line((from.x, from.y), (to.x, to.y), color, width: 1.5)
    }
  }

  private mutating func curve(_ series: Chart.Series, _ color: ChartColor, dash: Double, _ x: ChartAxis, _ y: ChartAxis) {
    var path = ChartCurve()
    func finish(_ marks: inout [ChartMark]) {
      let points = path.finish()
      guard !points.isEmpty else { return }
      marks.append(.line(points, color, width: points.count == 1 ? 6 : 2, dash: dash))
    }
    for (index, value) in series.y.enumerated() {
      if let across = x.place(series.place(index)), let up = y.place(value) {
        path.add(at(across, up))
      } else {
        finish(&marks)
      }
    }
    finish(&marks)
  }

  // MARK: Rows

  private mutating func figures(_ all: [Chart.Row]) {
    let rows = Array(all.prefix(60))
    var range = ChartRange()
    for row in rows {
      for value in [row.value] + row.points {
        if chart.x.shows(value) { range.add(value) } else { unseen += 1 }
      }
      for side in [row.value - row.spread, row.value + row.spread] where chart.x.shows(row.value) && chart.x.shows(side) { range.add(side) }
    }
    let axis = ChartAxis(range.low, range.high, isLogarithmic: chart.x.isLogarithmic)
    let texts = rows.map { row in
      let value = row.value.isNaN ? "–" : ChartNumber.short(row.value)
      return row.spread.isNaN ? value : "\(value) ± \(ChartNumber.short(row.spread))"
    }
    let names = (rows.map { ChartFont.width($0.name, small) }.max() ?? 0) * slack
    left = margin + min(names, width * 0.35) + 12
    right = width - margin - (texts.map { ChartFont.width($0, small) }.max() ?? 0) * slack - 16
    bottom -= (chart.x.label.isEmpty ? 22 : 42) + (unseen > 0 ? 14 : 0) + (all.count > rows.count ? 16 : 0)
    across(axis, axis.ticks(about: max(2, Int((right - left) / 90))))
    line((left, bottom), (right, bottom), .axis)
    let step = (bottom - top) / Double(max(rows.count, 1))
    func place(_ value: Double) -> Double? { axis.place(value).map { left + $0 * (right - left) } }
    if rows.count > 1, let first = place(rows[0].value) { line((first, top), (first, bottom), .axis, dash: 4) }
    for (index, row) in rows.enumerated() {
      let y = top + (Double(index) + 0.5) * step
      words(ChartFont.shortened(row.name, small, left - margin - 12), left - 12, y + 4, .ink, .end)
      words(texts[index], right + 16, y + 4, row.value.isFinite ? .ink : .quiet)
      for point in row.points { if let x = place(point) { dot(x, y, color(index), width: 7, opacity: 0.3) } }
      guard let x = place(row.value) else { continue }
      if row.spread > 0 {
        let (from, to) = (place(row.value - row.spread) ?? left, place(row.value + row.spread) ?? right)
        line((from, y), (to, y), color(index), width: 2)
        for end in [from, to] { line((end, y - 5), (end, y + 5), color(index), width: 2) }
      }
      dot(x, y, color(index), width: 10)
    }
    if all.count > rows.count { words("… and \(all.count - rows.count) more", margin, bottom + 56, .quiet) }
    if rows.isEmpty { words("no values", (left + right) / 2, (top + bottom) / 2, .quiet, .middle) }
  }
}

extension Chart.Axis {
  func shows(_ value: Double) -> Bool { value.isFinite && (!isLogarithmic || value > 0) }
}

extension Chart.Series {
  func place(_ index: Int) -> Double { index < x.count ? x[index] : Double(index + 1) }

  /// How far the band reaches, 0 where there is none.
  func spread(_ index: Int) -> Double {
    guard index < spread.count, spread[index].isFinite else { return 0 }
    return abs(spread[index])
  }
}

/// From where to where numbers reach.
struct ChartRange {
  private(set) var low = Double.infinity
  private(set) var high = -Double.infinity

  mutating func add(_ value: Double) {
    low = min(low, value)
    high = max(high, value)
  }
}

/// A line of which one point is kept in each column of points.
struct ChartPath {
  private let columns: Double
  private var points: [ChartPoint] = []

  /// Columns are so many points wide.
  init(columns: Double) { self.columns = columns }

  /// Adds a point; `choose` says which height stands for several in a column.
  mutating func add(_ point: ChartPoint, choose: (Double, Double) -> Double) {
    if points.count > 1, let last = points.last, (last.x / columns).rounded() == (point.x / columns).rounded() {
      points[points.count - 1].y = choose(last.y, point.y)
    } else {
      points.append(point)
    }
  }

  /// The line; what is added after it begins another one.
  mutating func finish() -> [ChartPoint] {
    defer { points = [] }
    return points
  }
}

/// A line of which the first, the least, the greatest and the last point are kept in each half of a point's width, so that it looks as
/// all of them would.
struct ChartCurve {
  private var points: [ChartPoint] = []
  /// Those of the column under way, in their order, and which of them are its least and greatest.
  private var column: [ChartPoint] = []
  private var place = Double.nan

  mutating func add(_ point: ChartPoint) {
    let place = (point.x * 2).rounded()
    if place != self.place { leave() }
    self.place = place
    if column.count < 4 {
      column.append(point)
      return
    }
    // The first stays, and of the others those that are not passed over.
    let last = column[3]
    let inner = [column[1], column[2], last]
    let lowest = inner.min { $0.y < $1.y }!
    let highest = inner.max { $0.y < $1.y }!
    let isLowestFirst = inner.firstIndex { $0.y == lowest.y }! <= inner.firstIndex { $0.y == highest.y }!
    column = [column[0], isLowestFirst ? lowest : highest, isLowestFirst ? highest : lowest, point]
  }

  private mutating func leave() {
    points += column
    column.removeAll(keepingCapacity: true)
  }

  mutating func finish() -> [ChartPoint] {
    leave()
    place = .nan
    defer { points = [] }
    return points
  }
}
