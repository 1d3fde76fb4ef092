// Text on its way to a terminal.

extension String {
  /// A message for a terminal: control characters, which could do anything to it, stand as Lua writes them, `\27`. New lines and
  /// tabs stay.
  package var withoutControls: String {
    guard unicodeScalars.contains(where: Self.isControl) else { return self }
    var result = ""
    for (scalar, next) in zip(unicodeScalars, unicodeScalars.dropFirst().map { $0 } + ["\n"]) {
      if !Self.isControl(scalar) {
        result.unicodeScalars.append(scalar)
      } else if scalar.value > 127 {
        result += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        let digits = String(scalar.value)
        // A digit that follows must not be taken for one of the number's.
        result += "\\" + String(repeating: "0", count: ("0"..."9").contains(next) ? 3 - digits.count : 0) + digits
      }
    }
    return result
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
  }
}
