// Charts: that both pictures show the same, where the numbers are; ticks; and that there is a picture of whatever numbers there are.

import Files
import Foundation
import FoundationXML
import Tensors
import Testing

@Suite struct ChartTests {
  /// What an SVG file has: its lines, its areas, its words.
  final class Picture: NSObject, XMLParserDelegate {
    struct Line { var points: [(x: Double, y: Double)], color: String, width: Double }
    var lines: [Line] = []
    var areas: [Line] = []
    var dots: [Line] = []
    var words: [String] = []
    private var text: String?

    init(_ svg: String) throws {
      super.init()
      let parser = XMLParser(data: Data(svg.utf8))
      parser.delegate = self
      guard parser.parse() else { throw try #require(parser.parserError) }
    }

    func parser(
      _: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?, attributes: [String: String] = [:]
    ) {
      let points = (attributes["points"] ?? "").split(separator: " ").map { point in
        let numbers = point.split(separator: ",").map { Double($0) ?? .nan }
        return (x: numbers[0], y: numbers[1])
      }
      let color = attributes[name == "polyline" ? "stroke" : "fill"] ?? ""
      func number(_ name: String) -> Double { Double(attributes[name] ?? "") ?? .nan }
      switch name {
      case "polyline": lines.append(Line(points: points, color: color, width: number("stroke-width")))
      case "polygon": areas.append(Line(points: points, color: color, width: 0))
      case "circle": dots.append(Line(points: [(number("cx"), number("cy"))], color: color, width: 2 * number("r")))
      case "text": text = ""
      default: break
      }
    }

    func parser(_: XMLParser, foundCharacters characters: String) { text? += characters }

    func parser(_: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?) {
      if name == "text" { words.append(text ?? "") }
      text = nil
    }

    /// The lines of the first curves' colors.
    func curves(_ color: String) -> [Line] { lines.filter { $0.color == color && $0.width == 2 } }
  }

  private let first = "#4269d0"

  @Test func bothPicturesShowTheSame() throws {
    let steps = 40
    let y = (0..<steps).map { 3 * exp(-Double($0) / 9) + 0.2 }
    let chart = Chart(
      title: "T", x: .init("step"), y: .init("loss"), series: [.init("a", y: y, spread: y.map { $0 / 4 }), .init("b", y: [1, 2, 3])])
    let picture = try Picture(try chart.svg())
    let image = try chart.image()
    #expect(image.shape == [3, 960, 1600] && image.dtype == .uint8)
    let curve = try #require(picture.curves(first).first)
    #expect(curve.points.count == steps)
    func color(_ x: Double, _ y: Double) -> [Int] {
      (0..<3).map { Int(image.element(($0 * 960 + Int(y * 2)) * 1600 + Int(x * 2)).integer) }
    }
    for point in curve.points.dropFirst() {  // the first is under the axis
      #expect(color(point.x, point.y) == [0x42, 0x69, 0xd0])
      // Ten points below there is the band alone, or nothing.
      #expect(color(point.x + 0.5, point.y - 10) != [0x42, 0x69, 0xd0] || point.x < 150)
    }
    // Equal steps to the right, and heights as the numbers say.
    let (begin, end) = (curve.points[0], curve.points[steps - 1])
    for (index, point) in curve.points.enumerated() {
      #expect(abs(point.x - (begin.x + (end.x - begin.x) * Double(index) / Double(steps - 1))) < 0.02)
      #expect(abs((point.y - end.y) / (begin.y - end.y) - (y[index] - y[steps - 1]) / (y[0] - y[steps - 1])) < 1e-3)
    }
    // The band is mixed with the paper: 16 of 100 parts.
    let band = try #require(picture.areas.first { $0.color == first })
    let (over, under) = (band.points[20], band.points[2 * steps - 1 - 20])
    #expect(over.x == under.x && over.y < curve.points[20].y && under.y > curve.points[20].y)
    #expect(color(over.x + 0.5, over.y - 3) == [255, 255, 255] || color(over.x + 0.5, over.y - 3) == [0xe4, 0xe4, 0xe4])
    let mixed = color(over.x + 0.5, over.y + 5)
    #expect(zip(mixed, [0x42, 0x69, 0xd0]).allSatisfy { abs(Double($0) - (255 - 0.16 * Double(255 - $1))) <= 1 })
  }

  @Test func wordsAndNumbers() throws {
    var chart = Chart(title: "A <b> & \"c\"\u{1}\n", x: .init("epoch"), y: .init("loss"), series: [.init("ü <&>", y: [0, 50, 100])])
    chart.subtitle = "mean ± sd over 5 seeds"
    let words = Set(try Picture(try chart.svg()).words)
    #expect(words.isSuperset(of: ["A <b> & \"c\"\u{fffd} ", "mean ± sd over 5 seeds", "epoch", "loss", "ü <&>"]))
    #expect(words.isSuperset(of: ["0", "20", "40", "60", "80", "100", "1", "2", "3"]))
    #expect(!words.contains("1.5"))  // steps are whole
  }

  @Test(arguments: [
    (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]), (-3, 4, ["−2", "0", "2", "4"]),
    (0.9101, 0.9104, ["0.91010", "0.91020", "0.91030"]),
    (1e8, 3e8, ["1.0·10⁸", "1.5·10⁸", "2.0·10⁸", "2.5·10⁸", "3.0·10⁸"]), (0, 2e-5, ["0", "0.5·10⁻⁵", "1.0·10⁻⁵", "1.5·10⁻⁵", "2.0·10⁻⁵"]),
    (7, 7, ["7.0"]),
  ]) func ticks(_ low: Double, _ high: Double, _ expected: [String]) throws {
    let chart = Chart(y: .init(""), series: [.init("", y: [low, high])])
    #expect(Set(try Picture(try chart.svg()).words).isSuperset(of: expected))
  }

  @Test func logarithms() throws {
    func picture(_ y: [Double], spread: Double = 0) throws -> Picture {
      try Picture(try Chart(y: .init("", isLogarithmic: true), series: [.init("", y: y, spread: y.map { $0 * spread })]).svg())
    }
    let wide = try picture([1, 0.01, 1e-8], spread: 2)
    #expect(Set(wide.words).isSuperset(of: ["1", "0.01", "10⁻⁴", "10⁻⁸"]))
    let points = try #require(wide.curves(first).first).points
    #expect(abs((points[1].y - points[0].y) / (points[2].y - points[0].y) - 0.25) < 1e-3)  // two of eight powers
    #expect(Set(try picture([1, 5]).words).isSuperset(of: ["1", "2", "5"]))
    // What has no logarithm is left out and told.
    let gaps = try picture([1, 2, -1, 0, 3, 4])
    #expect(gaps.curves(first).map(\.points.count) == [2, 2])
    #expect(gaps.words.contains("2 values are neither finite nor above 0 and not shown"))
  }

  /// Every number that a Double can be, in every place.
  @Test func anyNumbers() throws {
    let odd: [[Double]] = [
      [], [.nan], [1], [0], [.infinity], [1, .nan, 2], [-.infinity, 1, .infinity], [.greatestFiniteMagnitude, -.greatestFiniteMagnitude],
      [5e-324, 1e-310], [1e308, 1e-308], [1, 1 + 1e-16], [-1, -2, -3], [0, 0, 0], [1e300, 2e300], [.nan, .nan, 3, .nan], [-0.0, 5e-324],
    ]
    for y in odd {
      for spread in [[], [1], y, y.map { _ in .infinity }] {
        for x in [[], y, [5, 5, 5], [3, 2, 1]] {
          for isLogarithmic in [false, true] {
            let axis = Chart.Axis("a", isLogarithmic: isLogarithmic)
            try expectDrawn(Chart(title: "\(y)", x: axis, y: axis, series: [.init("a", x: x, y: y, spread: spread), .init("b", y: [1])]))
            let rows = zip(y, spread + y).map { Chart.Row("r", $0, spread: $1, points: x) }
            try expectDrawn(Chart(title: "\(y)", x: axis, rows: rows))
          }
        }
      }
    }
  }

  private func expectDrawn(_ chart: Chart) throws {
    let picture = try Picture(try chart.svg(width: 200, height: 150))
    for line in picture.lines + picture.areas + picture.dots {
      for point in line.points { #expect(-1...201 ~= point.x && -1...151 ~= point.y, "\(chart.title): \(point)") }
    }
    // Beside a row there are its numbers, whatever they are.
    for words in picture.words where words != chart.title && !words.contains("±") && !["inf", "−inf"].contains(words) {
      #expect(!words.contains("nan") && (!words.contains("inf") || words.contains("finite")), "\(chart.title): \(words)")
    }
    #expect(try chart.image(width: 200, height: 150, scale: 1).count == 3 * 200 * 150)
  }

  /// A million points are thinned, and none that stands out is lost.
  @Test func manyPoints() throws {
    var y = (0..<1_000_000).map { sin(Double($0) / 1000) + Double($0 % 7) / 7 }
    y[654_321] = 9
    y[123_456] = -4
    let chart = Chart(series: [.init("a", y: y, spread: y.map { _ in 0.5 })])
    let svg = try chart.svg()
    #expect(svg.utf8.count < 200_000)
    let points = try #require(try Picture(svg).curves(first).first).points
    let (left, right) = (points.map(\.x).min()!, points.map(\.x).max()!)
    let (least, most) = (try #require(points.max { $0.y < $1.y }), try #require(points.min { $0.y < $1.y }))
    #expect(abs((most.x - left) / (right - left) - 0.654321) < 0.002 && abs((least.x - left) / (right - left) - 0.123456) < 0.002)
    #expect(try chart.image().count == 3 * 960 * 1600)
  }

  @Test func manyNames() throws {
    let long = String(repeating: "a very long name ", count: 100)
    let series = (0..<200).map { Chart.Series("\(long)\($0)", y: [Double($0), 1]) }
    let curves = try Picture(try Chart(title: long, series: series).svg())
    #expect(curves.words.contains { $0.hasPrefix("… and 1") && $0.hasSuffix(" more") })
    #expect(curves.words.allSatisfy { $0.count < 100 })
    let rows = try Picture(try Chart(rows: (0..<200).map { Chart.Row("\(long)\($0)", Double($0)) }).svg())
    #expect(rows.words.contains("… and 140 more"))
  }

  @Test func figures() throws {
    let chart = Chart(
      x: .init("accuracy"),
      rows: [.init("none", 0.5, spread: 0.1, points: [0.4, 0.6]), .init("hidden", 0.25), .init("failed", .nan)])
    let picture = try Picture(try chart.svg())
    #expect(
      Set(picture.words).isSuperset(of: ["none", "0.5 ± 0.1", "hidden", "0.25", "failed", "–", "1 value is not finite and not shown"]))
    let means = picture.dots.filter { $0.width == 10 }
    let points = picture.dots.filter { $0.width == 7 }
    #expect(means.count == 2 && points.count == 2 && means[0].points[0].x == (points[0].points[0].x + points[1].points[0].x) / 2)
  }

  @Test func files() throws {
    try withFolder { folder in
      let chart = Chart(title: "T", series: [.init("a", y: [1, 2])])
      try chart.write(to: folder + "/a.PNG", width: 300, height: 200, scale: 1)
      #expect(try ImageFile.read(folder + "/a.PNG").doubles == chart.image(width: 300, height: 200, scale: 1).doubles)
      try chart.write(to: folder + "/a.svg")
      #expect(try InputFile(folder + "/a.svg").contents() == Array(chart.svg().utf8))
      #expect(throws: TensorError.self) { try chart.write(to: folder + "/a.gif") }
      #expect(throws: TensorError.self) { try chart.write(to: folder + "/a.svg", width: 5) }
      #expect(throws: TensorError.self) { try chart.image(scale: 0) }
      #expect(throws: TensorError.self) { try chart.image(height: 1_000_000) }
    }
  }
}
