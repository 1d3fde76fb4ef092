// Images that Pillow wrote, against the pixels that Pillow reads (see scripts/fixtures/readers.py), and what is no image.

import Files
import Foundation
import Tensors
import Testing

@Suite struct ImageTests {
  @Test(arguments: [
    "gray.png", "bits.png", "rgb.png", "rgba.png", "gray_alpha.png", "palette.png", "gray.jpg", "rgb.jpg", "progressive.jpg",
  ]) func pixels(_ name: String) throws {
    let image = try ImageFile.read("\(fixtures)/\(name)")
    let expected = try NumPyFile.read("\(fixtures)/pixels_\(name).npy")
    #expect(image.shape == expected.shape && image.dtype == .uint8)
    // Pillow and this read JPEG by builds of one library; another build's arithmetic may differ by 1.
    let off = zip(image.doubles, expected.doubles).map { abs($0 - $1) }.max() ?? 0
    #expect(off <= (name.hasSuffix("png") ? 0 : 1))
  }

  @Test func interlaced() throws {
    #expect(try ImageFile.read("\(fixtures)/interlaced.png").doubles == ImageFile.read("\(fixtures)/rgb.png").doubles)
  }

  @Test func modes() throws {
    func image(_ name: String, _ mode: ImageFile.Mode) throws -> [[Double]] {
      let image = try ImageFile.read("\(fixtures)/\(name)", mode: mode)
      return (0..<image.shape[0]).map { channel in (0..<35).map { image.element(35 * channel + $0).real } }
    }
    let rgba = try image("rgba.png", .unchanged)
    #expect(try image("rgba.png", .rgb) == Array(rgba[..<3]))
    #expect(try image("rgb.png", .rgba) == Array(rgba[..<3]) + [[Double](repeating: 255, count: 35)])
    let gray = try image("gray.png", .gray)
    #expect(try image("gray.png", .rgb) == [gray[0], gray[0], gray[0]])
    #expect(try image("gray_alpha.png", .rgba).count == 4)
    #expect(try image("gray.jpg", .rgba).count == 4 && image("rgb.jpg", .rgba)[3].allSatisfy { $0 == 255 })
    for name in ["rgb.png", "rgba.png"] {
      let gray = try image(name, .gray)[0]
      for place in 0..<35 {
        let brightness: Double = 0.2989 * rgba[0][place] + 0.587 * rgba[1][place] + 0.1141 * rgba[2][place]
        #expect(abs(gray[place] - brightness) <= 1)
      }
    }
    // 16 bits: across · 9000 + down, rounded to 8.
    let deep = try image("deep.png", .unchanged)[0]
    for place in 0..<35 {
      let value = Double((place % 7) * 9000 + place / 7)
      #expect(abs(deep[place] - value / 257) <= 0.51)
    }
  }

  @Test func bothWays() throws {
    try withFolder { folder in
      var dice = Dice(3)
      for shape in [[1, 4, 5], [2, 3, 3], [3, 20, 30], [4, 2, 1], [6, 7]] {
        let bytes = (0..<shape.reduce(1, *)).map { _ in Int.random(in: 0...255, using: &dice) }
        let image = try Tensor(bytes, shape: Shape(shape)).to(.uint8)
        try ImageFile.write(image, to: folder + "/a.png")
        #expect(try ImageFile.read(folder + "/a.png").doubles == bytes.map(Double.init))
      }
      let slopes: [Int] = (0..<3072).map { (place: Int) -> Int in (place / 32 % 32) * 4 + (place % 32) * 3 }
      let smooth = try Tensor(slopes, shape: Shape([3, 32, 32])).to(.uint8)
      try ImageFile.write(smooth, to: folder + "/a.jpg", quality: 95)
      let again = try ImageFile.read(folder + "/a.jpg")
      #expect(again.shape == smooth.shape)
      #expect(zip(again.doubles, smooth.doubles).allSatisfy { abs($0 - $1) <= 8 })
    }
  }

  @Test func refused() throws {
    try withFolder { folder in
      func found(_ name: String, _ change: (inout [UInt8]) -> Void) throws -> String {
        var bytes = try InputFile("\(fixtures)/\(name)").contents()
        change(&bytes)
        let path = folder + "/a"
        _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
        return message(path) { _ = try ImageFile.read(path) }
      }
      #expect(
        try found("rgb.png") { $0.removeLast() } == "byte \(try InputFile("\(fixtures)/rgb.png").size! - 1): the image is cut off here")
      #expect(try found("rgb.png") { $0[50] ^= 1 }.hasPrefix("byte "))
      #expect(try found("rgb.jpg") { $0.removeLast(40) }.contains("Premature end"))
      #expect(try found("progressive.jpg") { $0.removeLast(40) }.contains("Premature end"))
      #expect(try found("refused_print.jpg") { _ in }.contains("4 components"))
      #expect(try found("rgb.png") { $0 = [] } == "is neither PNG nor JPEG by its first bytes")
      // 10⁹ and more pixels: width and height stand at bytes 16 and 20, and 163 and 165; PNG has a checksum over them.
      let huge = try found("rgb.png") { bytes in
        bytes.replaceSubrange(16..<24, with: [0x00, 0x00, 0x80, 0, 0x00, 0x00, 0x80, 0])
        let sum = crc(bytes[12..<29])
        for i in 0..<4 { bytes[29 + i] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * i)) }
      }
      #expect(huge == "byte 41: an image of 32768 × 32768 pixels; up to 200000000 pixels are read")
      let wide = try found("rgb.jpg") { bytes in
        let frame = bytes.indices.first { bytes[$0] == 0xff && bytes[$0 + 1] == 0xc0 }!
        bytes.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0, 0xff, 0])
      }
      #expect(wide.contains("an image of 65280 × 65280 pixels"))
      let image = try Tensor([0, 1], shape: Shape([1, 1, 2]))
      #expect(
        message("") { try ImageFile.write(image, to: folder + "/a.png") }
          == "write_image: an image of uint8 is needed, from 0 to 255, got int64")
      #expect(message("") { try ImageFile.write(image.to(.uint8), to: folder + "/a.gif") }.contains("ends neither in .png"))
    }
  }

  private func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var sum: UInt32 = .max
    for byte in bytes {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? (sum >> 1) ^ 0xedb8_8320 : sum >> 1 }
    }
    return ~sum
  }
}
