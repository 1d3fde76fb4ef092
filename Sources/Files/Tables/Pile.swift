// Elements that come one after another, in the memory that the context's account counts, so that a limit holds for what is read too.

import Glibc
import Tensors

/// A growing list of plain elements at one address until it grows.
final class Pile<Element: BitwiseCopyable> {
  private(set) var first: UnsafeMutablePointer<Element>
  private(set) var capacity: Int
  var count = 0
  private var storage: Storage

  init(capacity: Int) throws {
    storage = try Storage(byteCount: capacity * MemoryLayout<Element>.stride)
    first = storage.firstByte.bindMemory(to: Element.self, capacity: capacity)
    self.capacity = capacity
  }

  /// Makes room for that many elements.
  func grow(to wanted: Int) throws {
    let larger = try Storage(byteCount: wanted * MemoryLayout<Element>.stride)
    larger.firstByte.copyMemory(from: first, byteCount: min(count, wanted) * MemoryLayout<Element>.stride)
    storage = larger
    first = larger.firstByte.bindMemory(to: Element.self, capacity: wanted)
    capacity = wanted
  }

  func append(_ element: Element) throws {
    if count == capacity { try grow(to: max(16, 2 * capacity)) }
    first[count] = element
    count += 1
  }

  func append(_ elements: UnsafeBufferPointer<Element>) throws {
    if count + elements.count > capacity { try grow(to: max(16, 2 * capacity, count + elements.count)) }
    if let base = elements.baseAddress { (first + count).update(from: base, count: elements.count) }
    count += elements.count
  }

  /// The elements as a vector, which takes no more memory than they do, and is the pile's own until that grows.
  func vector(_ dtype: DType) throws -> Tensor {
    if capacity > count + count / 4 { try grow(to: count) }
    return Tensor(storage: storage, layout: Layout(try Shape([count])), dtype: dtype)
  }
}

/// Texts one behind another.
public final class TextColumn {
  private let bytes: Pile<UInt8>
  /// Where each ends.
  private let ends: Pile<Int>

  /// None.
  public init() throws {
    bytes = try Pile(capacity: 256)
    ends = try Pile(capacity: 16)
  }

  /// How many there are.
  public var count: Int { ends.count }

  func append(_ text: UnsafeBufferPointer<UInt8>) throws {
    try bytes.append(text)
    try ends.append(bytes.count)
  }

  /// Adds a text of those bytes. Throws when memory is short.
  public func append(_ text: UnsafeRawBufferPointer) throws { try append(text.assumingMemoryBound(to: UInt8.self)) }

  /// Forgets all but the first.
  func truncate(_ count: Int) {
    guard count < ends.count else { return }
    ends.count = count
    bytes.count = count == 0 ? 0 : ends.first[count - 1]
  }

  /// The bytes of one, counted from 0, as long as the column lives.
  public func bytes(_ position: Int) -> UnsafeRawBufferPointer {
    precondition(position >= 0 && position < count, "there are \(count) texts")
    let start = position == 0 ? 0 : ends.first[position - 1]
    return UnsafeRawBufferPointer(start: bytes.first + start, count: ends.first[position] - start)
  }

  /// A text, counted from 0, with U+FFFD for bytes that are not UTF-8. Stops the program where there is none.
  public subscript(position: Int) -> String { String(decoding: bytes(position), as: UTF8.self) }
}
