// The law of printing: every case of Fixtures/printing.txt (written by scripts/fixtures/printing.py with PyTorch)
// prints as PyTorch printed it.

import Foundation
import Tensors
import Testing

@Suite struct PrintingTests {
  @Test func everyCasePrintsAsPyTorchPrintsIt() throws {
    let cases = try PrintingCase.all()
    #expect(cases.count > 1000)
    for printed in cases {
      let text = printed.text()
      #expect(text == printed.expected, "\(printed.header)\n\(text)\nbut PyTorch:\n\(printed.expected)")
    }
  }

  @Test func aSummaryAsksOnlyForTheElementsItShows() {
    var asked: Set<Int> = []
    let elements = PrintedElements.real { index in
      asked.insert(index)
      return Double(index)
    }
    _ = tensorText(elements, shape: [1 << 20, 1 << 20], dtype: "float32")
    #expect(asked.count == 36)
  }

  @Test func tuplesReadAsInPython() {
    #expect(tupleText([]) == "()")
    #expect(tupleText([2]) == "(2,)")
    #expect(tupleText([2, 0]) == "(2, 0)")
  }
}

/// One block of the fixture file, whose form its script describes.
private struct PrintingCase {
  var header: String
  var dtype = ""
  var shape: [Int] = []
  var defaultDType = "float32"
  var suffixes: [String] = []
  var options = PrintOptions()
  var elements: [Substring] = []
  var expected = ""

  static func all() throws -> [PrintingCase] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/printing.txt")
    var cases: [PrintingCase] = []
    for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
      switch line.first {
      case "#": continue
      case "@": cases.append(PrintingCase(header: String(line)))
      case ":": cases[cases.count - 1].elements = line.dropFirst().split(separator: " ")
      default:
        if !cases.last!.expected.isEmpty { cases[cases.count - 1].expected += "\n" }
        cases[cases.count - 1].expected += line.dropFirst(2)
      }
    }
    return cases
  }

  init(header: String) {
    self.header = header
    let fields = header.split(separator: " ")
    dtype = String(fields[1])
    if fields[2] != "-" { shape = fields[2].split(separator: "x").map { Int($0)! } }
    for field in fields.dropFirst(3) {
      let parts = field.split(separator: "=", maxSplits: 1)
      let value = String(parts[1])
      switch parts[0] {
      case "precision": options.precision = Int(value)!
      case "threshold": options.threshold = Int(value)!
      case "edgeitems": options.edgeItems = Int(value)!
      case "linewidth": options.lineWidth = Int(value)!
      case "sci_mode": options.scientific = value == "True"
      case "default": defaultDType = value
      case "suffix": suffixes = [value]
      default: Issue.record("unknown key \(parts[0]) in \(header)")
      }
    }
  }

  func text() -> String {
    let rounded = { [dtype] (value: Double) in dtype == "float32" ? Double(Float(value)) : value }
    let printed: PrintedElements
    if elements.first == "step" {
      let (a, b, m) = (Double(elements[1])!, Double(elements[2])!, Int(elements[3])!)
      let value = { (index: Int) in rounded(a + b * Double(index % m)) }
      printed =
        switch dtype {
        case "bool": .boolean { value($0) != 0 }
        case "float32", "float64": .real(value)
        default: .integer { Int64(value($0)) }
        }
    } else {
      let elements = elements
      printed =
        switch dtype {
        case "bool": .boolean { elements[$0] == "1" }
        case "float32", "float64": .real { rounded(Double(elements[$0])!) }
        default: .integer { Int64(elements[$0])! }
        }
    }
    return tensorText(
      printed, shape: shape, dtype: dtype, defaultDType: defaultDType, suffixes: suffixes, options: options)
  }
}
