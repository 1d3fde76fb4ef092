// Arguments of the command line as text that loses nothing: file names and code may be in any encoding.

extension String {
  /// Text for bytes of which not all are UTF-8: those that are not stand as characters of a range that nobody uses, from which
  /// ``bytes`` makes them again. Those characters themselves are taken apart in the same way, so that no two texts are mixed up.
  init(bytes: [UInt8]) {
    self = String(validating: bytes, as: UTF8.self).flatMap { $0.unicodeScalars.contains(where: Self.isByte) ? nil : $0 } ?? ""
    if !isEmpty || bytes.isEmpty { return }
    var rest = bytes[...]
    while let first = rest.first {
      let length = (1...min(4, rest.count)).first { String(validating: rest.prefix($0), as: UTF8.self) != nil }
      if let length, let text = String(validating: rest.prefix(length), as: UTF8.self), !text.unicodeScalars.contains(where: Self.isByte) {
        self += text
        rest = rest.dropFirst(length)
      } else {
        unicodeScalars.append(Unicode.Scalar(Self.firstByte + UInt32(first))!)
        rest = rest.dropFirst()
      }
    }
  }

  /// The bytes that such a text was made of.
  var bytes: [UInt8] {
    unicodeScalars.flatMap { scalar in Self.isByte(scalar) ? [UInt8(scalar.value - Self.firstByte)] : Array(String(scalar).utf8) }
  }

  /// Such a text as people see it: what is not UTF-8 is U+FFFD.
  var readable: String { String(decoding: bytes, as: UTF8.self) }

  /// The first of the characters that stand for bytes, the last of Unicode's private ones.
  private static var firstByte: UInt32 { 0x10FE00 }
  private static func isByte(_ scalar: Unicode.Scalar) -> Bool { scalar.value >= firstByte && scalar.value < firstByte + 256 }
}
