// Charts: curves of several runs with their spread, and one figure for each variant, as SVG text or as pixels.
//
// A chart is laid out once, as a list of marks in points (see ChartLayout.swift), and the marks are written as SVG
// (ChartText.swift) or drawn on a canvas (ChartCanvas.swift), so that both show the same.

import Tensors

/// A picture of numbers that says what it shows: axes with names and round ticks, a legend, and what the spread is.
///
/// ```swift
/// var chart = Chart(
///   title: "Loss while a part is frozen", x: .init("epoch"), y: .init("loss", isLogarithmic: true),
///   series: [.init("hidden", y: means, spread: deviations)])
/// chart.subtitle = "mean ± sd over 5 seeds"
/// try chart.write(to: "loss.png")
/// ```
///
/// Whatever the numbers are, there is a picture: those that are not finite are left out, and so are those that are not above 0 on a
/// logarithmic axis, and a line below the picture says how many. Long series are thinned to what a picture can show, which keeps their
/// least and greatest values. Names are shortened where they have no place.
public struct Chart: Sendable {
  /// A direction of the picture.
  public struct Axis: Sendable {
    /// What stands beside it; empty for nothing.
    public var label: String
    /// By powers of ten rather than by sums.
    public var isLogarithmic: Bool

    /// A direction with a label.
    public init(_ label: String = "", isLogarithmic: Bool = false) {
      self.label = label
      self.isLogarithmic = isLogarithmic
    }
  }

  /// A curve.
  public struct Series: Sendable {
    /// What the legend calls it.
    public var name: String
    /// Where its values stand; 1, 2, … unless given.
    public var x: [Double]
    /// Its values.
    public var y: [Double]
    /// How far the band around it reaches to either side; empty for none.
    public var spread: [Double]

    /// `x` and `spread` may be shorter than `y`: what is missing counts on from 1, and has no band.
    public init(_ name: String, x: [Double] = [], y: [Double], spread: [Double] = []) {
      self.name = name
      self.x = x
      self.y = y
      self.spread = spread
    }
  }

  /// One figure with a name, a row of its own.
  public struct Row: Sendable {
    /// What stands beside the row.
    public var name: String
    /// The figure.
    public var value: Double
    /// How far the bar around it reaches to either side; nan for none.
    public var spread: Double
    /// What the figure was made of, shown as small points.
    public var points: [Double]

    /// A figure; without a bar where `spread` is nan.
    public init(_ name: String, _ value: Double, spread: Double = .nan, points: [Double] = []) {
      self.name = name
      self.value = value
      self.spread = spread
      self.points = points
    }
  }

  /// What a chart shows.
  enum Content: Sendable {
    case curves([Series])
    case rows([Row])
  }

  /// What stands above; empty for nothing.
  public var title: String
  /// What stands below the title, smaller.
  public var subtitle = ""
  /// The horizontal direction.
  public var x: Axis
  /// The vertical direction, of curves.
  public var y: Axis
  let content: Content

  /// Curves over one axis, with a legend of their names.
  public init(title: String = "", x: Axis = Axis(), y: Axis = Axis(), series: [Series]) {
    self.title = title
    self.x = x
    self.y = y
    content = .curves(series)
  }

  /// Figures by their names, one below the other, with a bar for the spread of each and its numbers beside it. A dashed line goes
  /// through the first, which the others are compared with.
  public init(title: String = "", x: Axis = Axis(), rows: [Row]) {
    self.title = title
    self.x = x
    y = Axis()
    content = .rows(rows)
  }

  /// The width that a picture has unless one is asked for, in points.
  public static let width = 800

  /// The height that a picture has unless one is asked for, in points.
  public var height: Int {
    switch content {
    case .curves: 480
    case .rows(let rows): 130 + 34 * min(max(rows.count, 1), 60)
    }
  }

  /// The picture as the text of an SVG file.
  public func svg(width: Int = Chart.width, height: Int? = nil) throws -> String {
    try ChartText(marks(width, height), width: width, height: height ?? self.height, title: title).text
  }

  /// The picture as a tensor of bytes, `(3, height · scale, width · scale)`. Each point is `scale` pixels wide.
  public func image(width: Int = Chart.width, height: Int? = nil, scale: Int = 2) throws -> Tensor {
    guard 1...8 ~= scale else { throw TensorError(.argument, "chart", "each point is 1 to 8 pixels wide, got \(scale)") }
    let marks = try marks(width, height)
    var canvas = ChartCanvas(width: width * scale, height: (height ?? self.height) * scale, scale: Double(scale))
    for mark in marks { canvas.draw(mark) }
    return try canvas.image()
  }

  /// The picture as the bytes of a PNG file.
  public func png(width: Int = Chart.width, height: Int? = nil, scale: Int = 2) throws -> [UInt8] {
    try ImageFile.png(image(width: width, height: height, scale: scale))
  }

  /// How a picture is written.
  public enum Format: String, Sendable {
    case svg, png

    /// That of a path's ending.
    public init(of path: String) throws {
      guard let ending = path.split(separator: ".").last, let format = Format(rawValue: ending.lowercased()) else {
        throw TensorError(.argument, "chart", "'\(path)' ends neither in .svg nor in .png, by which the format is chosen")
      }
      self = format
    }
  }

  /// Writes the picture, by the path's ending unless a format is given.
  public func write(
    to path: String, as format: Format? = nil, width: Int = Chart.width, height: Int? = nil, scale: Int = 2
  ) throws {
    let bytes: [UInt8]
    switch try format ?? Format(of: path) {
    case .svg: bytes = Array(try svg(width: width, height: height).utf8)
    case .png: bytes = try png(width: width, height: height, scale: scale)
    }
    try bytes.withUnsafeBytes { try OutputFile.write([$0], to: path, isSynced: false) }
  }

  private func marks(_ width: Int, _ height: Int?) throws -> [ChartMark] {
    let height = height ?? self.height
    guard 160...4000 ~= width, 120...4000 ~= height else {
      throw TensorError(.argument, "chart", "a picture is 160 to 4000 points wide and 120 to 4000 high, got \(width) and \(height)")
    }
    var layout = ChartLayout(self, width: Double(width), height: Double(height))
    layout.arrange()
    return layout.marks
  }
}
