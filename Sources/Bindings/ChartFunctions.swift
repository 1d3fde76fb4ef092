// Pictures of curves and figures, as the library's Lua asks for them.

import Files
import LuaRuntime
import Tensors

enum ChartFunctions {
  static var primitives: [String: NativeFunction] {
    [
      // write_chart(what, path, chart, format): as "svg" or "png", or by the path's ending. `chart` has width, height,
      // title, subtitle, x, y, log_x, log_y, and either series, a list of { name, y = { … }, x = { … }, spread = { … } }, or rows, of { name, value, spread, points = { … } }.
      "write_chart": native("write_chart") { call in
        let (what, path, spec) = (call.string(1) ?? "", call.string(2) ?? "", call[3])
        var chart = try chart(spec)
        chart.title = try text(spec, "title")
        chart.subtitle = try text(spec, "subtitle")
        let width = try spec.withField("width") { $0.integer } ?? Chart.width
        let height = try spec.withField("height") { $0.integer }
        let format = call.string(4).flatMap { Chart.Format(rawValue: $0) }
        try named(what) { try chart.write(to: path, as: format, width: width, height: height) }
      }
    ]
  }

  private static func chart(_ spec: Slot) throws -> Chart {
    let x = Chart.Axis(try text(spec, "x"), isLogarithmic: try spec.withField("log_x") { $0.isTruthy })
    let y = Chart.Axis(try text(spec, "y"), isLogarithmic: try spec.withField("log_y") { $0.isTruthy })
    if try spec.withField("rows", { $0.type == .table }) {
      var rows: [Chart.Row] = []
      try spec.withField("rows") {
        try $0.forEachElement { _, row in
          let value = try row.withField("value") { $0.number ?? .nan }
          let spread = try row.withField("spread") { $0.number ?? .nan }
          rows.append(Chart.Row(try text(row, "name"), value, spread: spread, points: try numbers(row, "points")))
        }
      }
      return Chart(x: x, rows: rows)
    }
    var series: [Chart.Series] = []
    try spec.withField("series") {
      try $0.forEachElement { _, one in
        series.append(
          Chart.Series(try text(one, "name"), x: try numbers(one, "x"), y: try numbers(one, "y"), spread: try numbers(one, "spread")))
      }
    }
    return Chart(x: x, y: y, series: series)
  }

  private static func text(_ table: Slot, _ name: String) throws -> String { try table.withField(name) { $0.string ?? "" } }

  /// A list of numbers; what is none is nan.
  private static func numbers(_ table: Slot, _ name: String) throws -> [Double] {
    try table.withField(name) { list in
      guard list.type == .table else { return [] }
      var numbers: [Double] = []
      numbers.reserveCapacity(list.rawLength)
      try list.forEachElement { _, slot in numbers.append(slot.number ?? .nan) }
      return numbers
    }
  }
}
