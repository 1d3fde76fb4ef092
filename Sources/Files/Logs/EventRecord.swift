// TensorBoard's event files: records of TensorFlow's framing, each a protocol buffer of the type Event.
// Framing: https://www.tensorflow.org/tutorials/load_data/tfrecord; messages: tensorboard/compat/proto/{event,summary}.proto.

/// One event, as the bytes of its record.
public enum EventRecord {
  /// What an event tells.
  public enum Content {
    /// The first of each file.
    case version
    case scalar(Double)
    case text(String)
    case histogram(Histogram)
  }

  /// Counts of values between limits.
  public struct Histogram {
    /// Of all values: the least, the greatest, how many there are, their sum, and that of their squares.
    public let minimum, maximum, count, sum, sumOfSquares: Double
    /// The upper limit of each bucket, and how many values are in it.
    public let limits, counts: [Double]

    /// Counts as they are; `limits` and `counts` have a number for each bucket.
    public init(minimum: Double, maximum: Double, count: Double, sum: Double, sumOfSquares: Double, limits: [Double], counts: [Double]) {
      self.minimum = minimum
      self.maximum = maximum
      self.count = count
      self.sum = sum
      self.sumOfSquares = sumOfSquares
      self.limits = limits
      self.counts = counts
    }
  }

  /// The record of an event at a time in seconds since 1970.
  public static func bytes(_ content: Content, tag: String = "", step: Int = 0, time: Double) -> [UInt8] {
    var event = Message()
    event.double(1, time)
    if step != 0 { event.integer(2, step) }  // what is 0 is left out, as protocol buffers do
    switch content {
    case .version: event.bytes(3, Array("brain.Event:2".utf8))
    case .scalar(let value): event.message(5) { $0.message(1) { add(to: &$0, tag, .float(value)) } }
    case .text(let text): event.message(5) { $0.message(1) { add(to: &$0, tag, .text(text)) } }
    case .histogram(let histogram): event.message(5) { $0.message(1) { add(to: &$0, tag, .histogram(histogram)) } }
    }
    return framed(event.bytes)
  }

  private enum Summary { case float(Double), text(String), histogram(Histogram) }

  /// The fields of Summary.Value.
  private static func add(to message: inout Message, _ tag: String, _ summary: Summary) {
    message.bytes(1, Array(tag.utf8))
    switch summary {
    case .float(let value): message.float(2, Float(value))
    case .histogram(let histogram):
      message.message(5) { histo in
        let facts = [histogram.minimum, histogram.maximum, histogram.count, histogram.sum, histogram.sumOfSquares]
        for (index, fact) in facts.enumerated() { histo.double(index + 1, fact) }
        histo.doubles(6, histogram.limits)
        histo.doubles(7, histogram.counts)
      }
    case .text(let text):
      // A tensor of one string, for the plugin "text".
      message.message(8) { tensor in
        tensor.integer(1, 7)
        tensor.message(2) { $0.message(2) { $0.integer(1, 1) } }
        tensor.bytes(8, Array(text.utf8))
      }
      message.message(9) { $0.message(1) { $0.bytes(1, Array("text".utf8)) } }
    }
  }

  /// A protocol buffer as it grows.
  private struct Message {
    private(set) var bytes: [UInt8] = []

    private mutating func varint(_ value: UInt64) {
      var rest = value
      while rest >= 128 {
        bytes.append(UInt8(truncatingIfNeeded: rest) | 128)
        rest >>= 7
      }
      bytes.append(UInt8(rest))
    }

    private mutating func key(_ field: Int, _ wire: Int) { varint(UInt64(field << 3 | wire)) }
    private mutating func fixed(_ bits: some FixedWidthInteger) { withUnsafeBytes(of: bits.littleEndian) { bytes += $0 } }

    mutating func integer(_ field: Int, _ value: Int) {
      key(field, 0)
      varint(UInt64(bitPattern: Int64(value)))
    }
    mutating func double(_ field: Int, _ value: Double) {
      key(field, 1)
      fixed(value.bitPattern)
    }
    mutating func float(_ field: Int, _ value: Float) {
      key(field, 5)
      fixed(value.bitPattern)
    }
    mutating func bytes(_ field: Int, _ value: [UInt8]) {
      key(field, 2)
      varint(UInt64(value.count))
      bytes += value
    }
    mutating func doubles(_ field: Int, _ values: [Double]) {
      key(field, 2)
      varint(UInt64(values.count * 8))
      for value in values { fixed(value.bitPattern) }
    }
    mutating func message(_ field: Int, _ fill: (inout Message) -> Void) {
      var inner = Message()
      fill(&inner)
      bytes(field, inner.bytes)
    }
  }

  // MARK: Framing

  /// The length and the data, each with its check sum.
  private static func framed(_ data: [UInt8]) -> [UInt8] {
    var record: [UInt8] = []
    withUnsafeBytes(of: UInt64(data.count).littleEndian) { record += $0 }
    let lengthSum = masked(checkSum(record))
    withUnsafeBytes(of: lengthSum.littleEndian) { record += $0 }
    record += data
    withUnsafeBytes(of: masked(checkSum(data)).littleEndian) { record += $0 }
    return record
  }

  private static func masked(_ sum: UInt32) -> UInt32 { (sum >> 15 | sum << 17) &+ 0xa282_ead8 }

  /// CRC-32C (Castagnoli), a byte at a time.
  private static func checkSum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { sum, byte in table[Int((sum ^ UInt32(byte)) & 255)] ^ sum >> 8 }
  }

  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { sum, _ in sum & 1 == 1 ? sum >> 1 ^ 0x82f6_3b78 : sum >> 1 }
  }
}
