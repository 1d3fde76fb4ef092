// A chart as SVG.

/// The text of an SVG file.
struct ChartText {
  private(set) var text: String

  init(_ marks: [ChartMark], width: Int, height: Int, title: String) {
    text = #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(width)" height="\#(height)" viewBox="0 0 \#(width) \#(height)" "#
    text += #"font-family="Helvetica, Arial, sans-serif" role="img">"# + "\n"
    if !title.isEmpty { text += "<title>\(Self.escaped(title))</title>\n" }
    for mark in marks { add(mark) }
    text += "</svg>\n"
  }

  private mutating func add(_ mark: ChartMark) {
    switch mark {
    case .area(let points, let color, let opacity):
      text += #"<polygon points="\#(Self.list(points))" fill="\#(color.hexadecimal)""#
      if opacity < 1 { text += #" fill-opacity="\#(opacity)""# }
    case .line(let points, let color, let width, let dash, let opacity):
      if points.count == 1 {
        let (x, y) = (Self.number(points[0].x), Self.number(points[0].y))
        text += #"<circle cx="\#(x)" cy="\#(y)" r="\#(Self.number(width / 2))" fill="\#(color.hexadecimal)""#
        if opacity < 1 { text += #" fill-opacity="\#(opacity)""# }
      } else {
        text +=
          #"<polyline points="\#(Self.list(points))" fill="none" stroke="\#(color.hexadecimal)" stroke-width="\#(Self.number(width))""#
        text += #" stroke-linejoin="round""#
        if dash > 0 { text += #" stroke-dasharray="\#(Self.number(dash))""# }
        if opacity < 1 { text += #" stroke-opacity="\#(opacity)""# }
      }
    case .words(let words, let place, let size, let color, let anchor, let isRotated, let isBold):
      let (x, y) = (Self.number(place.x), Self.number(place.y))
      text += #"<text x="\#(x)" y="\#(y)" font-size="\#(Self.number(size))" fill="\#(color.hexadecimal)""#
      if anchor != .start { text += #" text-anchor="\#(anchor.rawValue)""# }
      if isBold { text += #" font-weight="bold""# }
      if isRotated { text += #" transform="rotate(-90 \#(x) \#(y))""# }
      text += ">\(Self.escaped(words))</text>\n"
      return
    }
    text += "/>\n"
  }

  private static func list(_ points: [ChartPoint]) -> String {
    var list = ""
    list.reserveCapacity(points.count * 12)
    for point in points {
      if !list.isEmpty { list += " " }
      list += number(point.x)
      list += ","
      list += number(point.y)
    }
    return list
  }

  /// With at most two places behind the point.
  private static func number(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let (whole, rest) = hundredths.magnitude.quotientAndRemainder(dividingBy: 100)
    let sign = hundredths < 0 ? "-" : ""
    if rest == 0 { return "\(sign)\(whole)" }
    return rest % 10 == 0 ? "\(sign)\(whole).\(rest / 10)" : "\(sign)\(whole).\(rest < 10 ? "0" : "")\(rest)"
  }

  /// As text between tags; characters that XML has no place for are replaced.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\t", "\n", "\r": result += " "
      case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{fffe}", "\u{ffff}": result += "\u{fffd}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
