// The text of a tensor, character by character what PyTorch prints: `tensor([[1., 2.],\n        [3., 4.]])`.
//
// The rules are those of `torch/_tensor_str.py`: one width and one notation for all elements, chosen from the
// finite nonzero ones; lines wrapped at `lineWidth`; large tensors summarised by their edges. Only the elements
// that are shown are asked for, so printing costs the same for a thousand elements as for a billion.

import Glibc

/// The elements of a tensor to print, by their row-major index.
///
/// A float32 element is its exact value as a double. Every integer dtype is widened to `Int64`.
package enum PrintedElements {
  case real((Int) -> Double)
  case integer((Int) -> Int64)
  case boolean((Int) -> Bool)
}

/// The printed form of a tensor, as `tensor([1., 2.], dtype=float64, requires_grad=True)`.
///
/// - Parameters:
///   - dtype: The name of its dtype, which is shown where PyTorch shows it: always but for `defaultDType`, `int64` and
///     `bool`; for an empty tensor always but for `defaultDType`.
///   - suffixes: What follows the dtype, such as `requires_grad=True` or `grad_fn=<MulBackward0>`; each moves to
///     a line of its own where it would pass `lineWidth`.
package func tensorText(
  _ elements: PrintedElements, shape: [Int], dtype: String, defaultDType: String = "float32",
  suffixes: [String] = [], options: PrintOptions = PrintOptions()
) -> String {
  let opening = "tensor("
  let isEmpty = shape.contains(0)
  var parts: [String] = []
  if isEmpty ? shape.count != 1 : options.edgeItems == 0 {
    parts.append("size=" + tupleText(shape))
  }
  if dtype != defaultDType && (isEmpty || (dtype != "int64" && dtype != "bool")) {
    parts.append("dtype=" + dtype)
  }
  let body =
    isEmpty
    ? "[]" : TensorPrinter(elements: elements, shape: shape, options: options).text(indent: opening.utf8.count)
  return addingSuffixes(
    parts + suffixes, to: opening + body, indent: opening.utf8.count, lineWidth: options.lineWidth)
    + ")"
}

/// Sizes as Python writes a tuple: `()`, `(2,)`, `(2, 3)`.
package func tupleText(_ sizes: [Int]) -> String {
  sizes.count == 1 ? "(\(sizes[0]),)" : "(" + sizes.map { String($0) }.joined(separator: ", ") + ")"
}

private func addingSuffixes(_ suffixes: [String], to text: String, indent: Int, lineWidth: Int) -> String {
  var result = text
  // PyTorch counts two columns more than the last line has.
  let lastLine = text.utf8.reversed().prefix { $0 != UInt8(ascii: "\n") }.count
  var column = lastLine + 2
  for suffix in suffixes {
    // PyTorch writes dtype=torch.float64. Counting its six letters breaks every line where PyTorch breaks it.
    let length = suffix.utf8.count + (suffix.hasPrefix("dtype=") ? 6 : 0)
    if column + length + 2 > lineWidth {
      result += ",\n" + String(repeating: " ", count: indent) + suffix
      column = indent + length
    } else {
      result += ", " + suffix
      column += length + 2
    }
  }
  return result
}

/// Lays out the nested brackets of one non-empty tensor.
private struct TensorPrinter {
  let shape: [Int]
  let options: PrintOptions
  /// How many elements are shown on either side of a dimension, in a summary; nil where all are.
  let edge: Int?
  /// Row-major strides, in elements.
  let strides: [Int]
  let formatter: ElementFormatter

  init(elements: PrintedElements, shape: [Int], options: PrintOptions) {
    self.shape = shape
    self.options = options
    edge = TensorPrinter.edge(shape, options)
    var strides = [Int](repeating: 1, count: shape.count)
    for dimension in shape.indices.dropLast().reversed() {
      strides[dimension] = strides[dimension + 1] * shape[dimension + 1]
    }
    self.strides = strides
    formatter = ElementFormatter(
      elements, options: options,
      among: TensorPrinter.widthIndices(
        shape: shape, strides: strides, edge: edge))
  }

  func text(indent: Int) -> String {
    shape.isEmpty ? formatter.text(0) : text(dimension: 0, offset: 0, indent: indent)
  }

  private func text(dimension: Int, offset: Int, indent: Int) -> String {
    // Nobody will read it then.
    if Context.isStopping { return "" }
    let shown = shownIndices(dimension)
    if dimension == shape.count - 1 {
      return vectorText(shown, offset: offset, indent: indent)
    }
    let slices = shown.map { index in
      index.map {
        text(dimension: dimension + 1, offset: offset + $0 * strides[dimension], indent: indent + 1)
      } ?? "..."
    }
    let newlines = String(repeating: "\n", count: shape.count - 1 - dimension)
    return bracketed(slices, separator: "," + newlines, indent: indent)
  }

  private func vectorText(_ shown: [Int?], offset: Int, indent: Int) -> String {
    // PyTorch's ellipsis has a space more than the separator gives it, but when it stands alone.
    let ellipsis = shown.count == 1 ? "..." : " ..."
    let items = shown.map { $0.map { formatter.text(offset + $0) } ?? ellipsis }
    let perLine = max(1, (options.lineWidth - indent) / (formatter.width + 2))
    let lines = stride(from: 0, to: items.count, by: perLine).map { start in
      items[start..<min(start + perLine, items.count)].joined(separator: ", ")
    }
    return bracketed(lines, separator: ",\n", indent: indent)
  }

  private func bracketed(_ items: [String], separator: String, indent: Int) -> String {
    "[" + items.joined(separator: separator + String(repeating: " ", count: indent + 1)) + "]"
  }

  /// Options may ask for more than any text has room for, of expanded tensors above all: then it is a summary with as much of
  /// the edges as fits.
  private static func edge(_ shape: [Int], _ options: PrintOptions) -> Int? {
    let most = 1 << 24
    func shown(_ edge: Int) -> Int {
      shape.reduce(1) { count, size in
        let (product, overflow) = count.multipliedReportingOverflow(by: size - edge > edge ? 2 * edge + 1 : size)
        return overflow ? .max : product
      }
    }
    let count = shown(.max)
    if count <= min(options.threshold, most) { return nil }
    var edge = options.edgeItems
    while edge > 0, shown(edge) > most { edge /= 2 }
    return edge
  }

  /// The indices shown of a dimension; nil stands for the ellipsis.
  private func shownIndices(_ dimension: Int) -> [Int?] {
    let size = shape[dimension]
    guard let edge, size - edge > edge else { return Array(0..<size) }
    return Array(0..<edge) + [nil] + Array(size - edge..<size)
  }

  /// The elements that decide width and notation: all of them, or those of a summary with `edge` items.
  private static func widthIndices(shape: [Int], strides: [Int], edge: Int?) -> [Int] {
    var offsets = [0]
    for (size, stride) in zip(shape, strides) {
      let indices =
        if let edge, size - edge > edge { Array(0..<edge) + Array(size - edge..<size) } else { Array(0..<size) }
      offsets = offsets.flatMap { offset in indices.map { offset + $0 * stride } }
    }
    return offsets
  }
}

/// Formats the elements of one tensor alike: one notation, one width.
private struct ElementFormatter {
  /// How a floating element is written.
  private enum Notation {
    /// `1.`, when all finite elements are whole.
    case whole
    /// `1.5000`
    case fixed
    /// `1.5000e+00`
    case scientific
  }

  private let elements: PrintedElements
  private let precision: Int
  private var notation = Notation.whole
  private(set) var width = 1

  init(_ elements: PrintedElements, options: PrintOptions, among indices: [Int]) {
    self.elements = elements
    precision = options.precision
    switch elements {
    case .integer, .boolean:
      for (number, index) in indices.enumerated() {
        if number & 0xfff == 0, Context.isStopping { return }
        width = max(width, unpadded(index).utf8.count)
      }
    case .real(let element):
      // Zeros and non-finite elements have no say: they may be wider than the column, as PyTorch prints them.
      let deciding = indices.map(element).filter { $0.isFinite && $0 != 0 }
      guard let smallest = deciding.lazy.map({ abs($0) }).min(),
        let largest = deciding.lazy.map({ abs($0) }).max()
      else { return }
      if options.scientific ?? (largest / smallest > 1000 || largest > 1e8 || smallest < 1e-4) {
        notation = .scientific
      } else if deciding.contains(where: { $0 != $0.rounded(.up) }) {
        notation = .fixed
      }
      for (number, value) in deciding.enumerated() {
        if number & 0xfff == 0, Context.isStopping { return }
        width = max(width, unpadded(value).utf8.count)
      }
    }
  }

  /// The element, padded on its left to the common width.
  func text(_ index: Int) -> String {
    let text = unpadded(index)
    return String(repeating: " ", count: max(0, width - text.utf8.count)) + text
  }

  private func unpadded(_ index: Int) -> String {
    switch elements {
    case .real(let element): unpadded(element(index))
    case .integer(let element): String(element(index))
    case .boolean(let element): element(index) ? "True" : "False"
    }
  }

  private func unpadded(_ value: Double) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    return switch notation {
    case .whole: cFormat("%.*f", 0, value) + "."
    case .fixed: cFormat("%.*f", precision, value)
    case .scientific: cFormat("%.*e", precision, value)
    }
  }
}

/// C's `printf` of one double, whose rounding is Python's too.
private func cFormat(_ format: String, _ precision: Int, _ value: Double) -> String {
  // The longest usual result, -1.7e308 in full with four decimals, has 315 characters.
  var capacity = 320
  while true {
    var needed = 0
    let text = String(unsafeUninitializedCapacity: capacity) { buffer in
      needed = buffer.withMemoryRebound(to: CChar.self) { characters in
        withVaList([Int32(clamping: precision), value]) {
          Int(vsnprintf(characters.baseAddress, capacity, format, $0))
        }
      }
      return min(needed, capacity - 1)
    }
    if needed < capacity { return text }
    capacity = needed + 1
  }
}
