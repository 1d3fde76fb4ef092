// Which elements a checkpoint's file has: those that several tensors share are written once.

import Tensors

/// A part of the file, and the tensors that are made of it.
struct CheckpointPiece {
  /// How a tensor is made of the elements of a part.
  enum Form {
    /// It is the part.
    case whole
    /// Its elements lie in memory with the dimensions in this order, while the part has them row by row.
    case ordered([Int])
    /// It is a view of the part's elements.
    case view(Layout)
  }

  /// The elements, as they are written.
  let elements: Tensor
  /// Each tensor, by its place in the list given, and what it is of the elements.
  let tensors: [(place: Int, form: Form)]

  /// The pieces for a list of tensors.
  static func pieces(of tensors: [Tensor]) throws -> [CheckpointPiece] {
    var byStorage: [ObjectIdentifier: [Int]] = [:]
    var order: [ObjectIdentifier] = []
    for (place, tensor) in tensors.enumerated() {
      let storage = ObjectIdentifier(tensor.storage)
      if byStorage[storage, default: []].isEmpty { order.append(storage) }
      byStorage[storage, default: []].append(place)
    }
    return try order.flatMap { try pieces(byStorage[$0]!, tensors) }.sorted { $0.tensors[0].place < $1.tensors[0].place }
  }

  /// Those of one storage: tensors whose ranges of memory meet share a piece, others do not, however large what lies between is.
  private static func pieces(_ places: [Int], _ tensors: [Tensor]) throws -> [CheckpointPiece] {
    let ranges = places.map { (place: $0, range: tensors[$0].layout.range) }.sorted { $0.range.lowerBound < $1.range.lowerBound }
    var clusters: [(places: [Int], range: Range<Int>)] = []
    for (place, range) in ranges {
      // No elements, nothing shared.
      if let last = clusters.last, !range.isEmpty, range.lowerBound < last.range.upperBound,
        tensors[last.places[0]].dtype == tensors[place].dtype
      {
        clusters[clusters.count - 1].places.append(place)
        clusters[clusters.count - 1].range = last.range.lowerBound..<max(last.range.upperBound, range.upperBound)
      } else {
        clusters.append(([place], range))
      }
    }
    return try clusters.map { try piece($0.places.sorted(), $0.range, tensors) }
  }

  private static func piece(_ places: [Int], _ range: Range<Int>, _ tensors: [Tensor]) throws -> CheckpointPiece {
    let first = tensors[places[0]]
    if places.count == 1 {
      if first.isContiguous { return CheckpointPiece(elements: first, tensors: [(places[0], .whole)]) }
      // Dense in another order of dimensions: written row by row, for other readers, and laid out as it was by ours.
      if let order = first.layout.denseOrder { return CheckpointPiece(elements: first, tensors: [(places[0], .ordered(order))]) }
      if range.count >= first.count { return CheckpointPiece(elements: first, tensors: [(places[0], .whole)]) }
    }
    // One of them may be all of it, and give it its shape.
    let whole = places.first {
      tensors[$0].isContiguous && tensors[$0].count == range.count && tensors[$0].layout.offset == range.lowerBound
    }
    let elements =
      whole.map { tensors[$0] }
      ?? Tensor(
        storage: first.storage, layout: Layout(Shape(size: range.count), strides: Layout(Shape(size: 1)).strides, offset: range.lowerBound),
        dtype: first.dtype)
    return CheckpointPiece(
      elements: elements,
      tensors: places.map { place in
        let layout = tensors[place].layout
        let isWhole = layout.isContiguous && layout.shape == elements.shape && layout.offset == elements.layout.offset
        let view = Layout(layout.shape, strides: layout.strides, offset: layout.offset - range.lowerBound)
        return (place, isWhole ? .whole : .view(view))
      })
  }
}

extension Layout {
  /// From the first to behind the last of the elements in memory; nothing where there are none.
  fileprivate var range: Range<Int> {
    if count == 0 { return offset..<offset }
    return offset..<(0..<shape.rank).reduce(offset) { $0 + (shape[$1] - 1) * strides[$1] } + 1
  }

  /// The order of dimensions, outermost first, in which the elements lie one after another; nil where they do in none.
  fileprivate var denseOrder: [Int]? {
    let order = (0..<shape.rank).sorted { (strides[$0], shape[$0], $1) > (strides[$1], shape[$1], $0) }
    let arranged = permuted(order)
    return arranged.isContiguous ? order : nil
  }
}
