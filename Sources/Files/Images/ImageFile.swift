// Images: PNG and JPEG, by the libraries that everybody reads them with.

import CImages
import Glibc
import Tensors

/// A PNG or JPEG image as a tensor of bytes, `(channels, height, width)`.
public enum ImageFile {
  /// How many channels an image is read into.
  public enum Mode: String, CaseIterable, Sendable {
    /// Those of the file; colors of a palette are red, green and blue.
    case unchanged
    /// 1: brightness.
    case gray
    /// 3: red, green, blue. Opacity is left out.
    case rgb
    /// 4: with opacity, 255 where the file has none.
    case rgba

    fileprivate var channels: mg_channels {
      switch self {
      case .unchanged: MG_UNCHANGED
      case .gray: MG_GRAY
      case .rgb: MG_RGB
      case .rgba: MG_RGBA
      }
    }
  }

  /// Images of more pixels are refused, since a small file can announce any number.
  public static let mostPixels = 200_000_000
  /// Files of more bytes are refused.
  public static let mostBytes = 1 << 30

  /// An image, uint8 `(channels, height, width)`. Numbers of 16 bits are rounded to 8. Images that are cut off or damaged are refused.
  public static func read(_ path: String, mode: Mode = .unchanged) throws -> Tensor {
    let file = try InputFile(path)
    // Before the rest, of which there may be much.
    let head = try file.take(upTo: 8)
    let format: mg_format
    if head == [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] {
      format = MG_PNG
    } else if head.starts(with: [0xff, 0xd8, 0xff]) {
      format = MG_JPEG
    } else {
      throw FileError(path, "is neither PNG nor JPEG by its first bytes")
    }
    let bytes = try file.size == nil ? head + file.contents(most: mostBytes) : file.contents(most: mostBytes)
    return try bytes.withUnsafeBufferPointer { bytes in
      var facts = mg_image_facts()
      facts.most_pixels = Int64(mostPixels)
      guard let image = mg_image_open(format, bytes.baseAddress!, bytes.count, mode.channels, &facts) else { throw failure(path, &facts) }
      defer { mg_image_close(image) }
      let (width, height, channels) = (Int(facts.width), Int(facts.height), Int(facts.channels))
      let rows = try Tensor(uninitialized: Shape([height, width, channels]), .uint8)
      guard mg_image_read(image, rows.data.assumingMemoryBound(to: UInt8.self), &facts) else { throw failure(path, &facts) }
      return try withNoGrad { try rows.permute([2, 0, 1]).contiguous().detach() }
    }
  }

  /// Writes uint8 `(channels, height, width)`, or `(height, width)` for gray, as PNG or JPEG by the path's ending. PNG has 1 to 4
  /// channels (gray, gray and opacity, colors, colors and opacity), JPEG 1 or 3. `quality` is that of JPEG, from 1 to 100.
  public static func write(_ image: Tensor, to path: String, quality: Int = 75, isSynced: Bool = true) throws {
    func refused(_ problem: TensorError.Facts) -> TensorError { TensorError(.argument, "write_image", problem) }
    let ending = path.split(separator: ".").last.map { $0.lowercased() } ?? ""
    guard let format = ["png": MG_PNG, "jpg": MG_JPEG, "jpeg": MG_JPEG][ending] else {
      throw refused("'\(path)' ends neither in .png nor in .jpg or .jpeg, by which the format is chosen")
    }
    guard image.dtype == .uint8 else { throw refused("an image of uint8 is needed, from 0 to 255, got \(image.dtype)") }
    guard image.rank == 2 || image.rank == 3 else {
      throw refused("an image of shape (channels, height, width) is needed, got \(image.shape)")
    }
    let channels = image.rank == 2 ? 1 : image.shape[0]
    guard format == MG_PNG ? 1...4 ~= channels : channels == 1 || channels == 3 else {
      throw refused("\(format == MG_PNG ? "PNG has 1 to 4 channels" : "JPEG has 1 or 3 channels"), got an image of shape \(image.shape)")
    }
    guard 1...100 ~= quality else { throw refused("the quality is from 1 to 100, got \(quality)") }
    let most = format == MG_PNG ? 1_000_000 : 65_500
    guard 1...most ~= image.shape[image.rank - 2], 1...most ~= image.shape[image.rank - 1] else {
      throw refused("an image has 1 to \(most) pixels in each direction, got one of shape \(image.shape)")
    }
    try withFile(image, channels, format, quality, path) { try OutputFile.write([$0], to: path, isSynced: isSynced) }
  }

  /// The bytes of a PNG file of uint8 `(channels, height, width)`.
  static func png(_ image: Tensor) throws -> [UInt8] {
    try withFile(image, image.shape[0], MG_PNG, 100, "PNG") { Array($0) }
  }

  private static func withFile<Result>(
    _ image: Tensor, _ channels: Int, _ format: mg_format, _ quality: Int, _ path: String, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    var facts = mg_image_facts()
    (facts.height, facts.width, facts.channels) = (Int64(image.shape[image.rank - 2]), Int64(image.shape[image.rank - 1]), Int64(channels))
    let rows = try withNoGrad { try (image.rank == 2 ? image.detach() : image.detach().permute([1, 2, 0])).packed() }
    var count = 0
    let bytes = withExtendedLifetime(rows) {
      mg_image_write(format, rows.data.assumingMemoryBound(to: UInt8.self), Int32(quality), &count, &facts)
    }
    guard let bytes else { throw failure(path, &facts) }
    defer { free(bytes) }
    return try body(UnsafeRawBufferPointer(start: bytes, count: count))
  }

  private static func failure(_ path: String, _ facts: inout mg_image_facts) -> FileError {
    let problem = withUnsafeBytes(of: &facts.problem) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return FileError(path, facts.position > 0 ? "byte \(facts.position): \(problem)" : problem)
  }
}
