// x[i], x[{i, j}], x[{ {1, 3}, {} }], x[mask], x[tensor], to read and to assign. Positions count from 1 and ranges
// include their ends.

import LuaRuntime
import Tensors

enum Indexing {
  /// The index expression in a slot: a number, a tensor, or a list of numbers, ranges and tensors. Positions in tensors count from
  /// `first` then, 0 or 1.
  static func items(_ slot: Slot, from first: Int = 0) throws -> [IndexItem] {
    if slot.type != .table { return [try item(slot, first)] }
    var items: [IndexItem] = []
    let length = slot.rawLength
    try slot.forEachElement { _, element in items.append(try item(element, first)) }
    // {nil, 1} has holes, and {a = 1} is no list.
    guard slot.keys.count == length else {
      throw ArgumentError("index: the list has holes or named fields; use {} for a whole dimension, as in x[{ {}, 1 }]")
    }
    return items
  }

  private static func item(_ slot: Slot, _ first: Int) throws -> IndexItem {
    if slot.type == .number {
      guard let number = slot.integer else {
        throw ArgumentError("index: \(Decoder.found(slot)) is not a whole number")
      }
      return .position(try Decoder.zeroBased(number, what: "indices", "index"))
    }
    if let tensor = slot.anyTensor {
      if tensor.dtype == .bool { return .tensor(tensor) }
      guard !tensor.dtype.isFloating else {
        throw ArgumentError("index: an index tensor must hold whole numbers or booleans, this one is \(tensor.dtype)")
      }
      return .tensor(first == 1 ? tensor : try zeroBasedPositions(tensor, "indices", "index"))
    }
    if slot.type == .table { return try range(slot) }
    if slot.string == "..." { return .ellipsis }
    throw ArgumentError("index: expected a whole number, a range such as {1, 3}, {} or a tensor, got \(Decoder.found(slot))")
  }

  /// {} is everything, {a, b} a to b included, {a, b, step}.
  private static func range(_ slot: Slot) throws -> IndexItem {
    let length = slot.rawLength
    if length == 0 { return .all }
    guard length == 2 || length == 3 else {
      throw ArgumentError("index: a range is {first, last} or {first, last, step}, got a list of \(length)")
    }
    var numbers: [Int] = []
    try slot.forEachElement { _, element in
      guard let number = element.integer else {
        throw ArgumentError("index: a range holds whole numbers, got \(Decoder.found(element))")
      }
      numbers.append(number)
    }
    let first = try Decoder.zeroBased(numbers[0], what: "indices", "index")
    guard numbers[1] != 0 || numbers[0] == 1 else {
      throw ArgumentError("index: a range that ends at 0 is out of range: indices start at 1 (and -1 is the last)")
    }
    // Inclusive: last −1 is the end of the dimension.
    let end: Int? = numbers[1] == -1 ? nil : numbers[1] >= 0 ? numbers[1] : numbers[1] + 1
    return .range(first, end, numbers.count == 3 ? numbers[2] : 1)
  }

  /// `x[key]` for keys that are no names.
  static func read(_ call: inout Call, _ x: Tensor) throws {
    if let number = call.integer(2) {
      let position = try Decoder.zeroBased(number, what: "indices", "index")
      guard x.rank > 0 else { throw ArgumentError("index: a tensor of rank 0 cannot be indexed; use x:item()") }
      // ipairs ends at the length, as it does for Lua's lists; other positions beyond it are mistakes.
      if position >= x.shape[0], call.isStepOfIpairs { return call.returnsNil() }
      return call.returns(tensor: try x.select(0, position))
    }
    let first = BatchLevels.areInForce ? 0 : 1
    let items = try items(call[2], from: first)
    if BatchLevels.areInForce, Batches.differ(items) { return call.returns(tensor: try BatchedIndexing.read(x, items)) }
    call.returns(tensor: try x.index(items, from: first))
  }

  /// `x[key] = value`.
  static func write(_ call: inout Call, _ x: Tensor) throws {
    let value = try value(call, x.dtype)
    let first = BatchLevels.areInForce ? 0 : 1
    let items = try items(call[2], from: first)
    if BatchLevels.areInForce, Batches.differ(items, value) { return try BatchedIndexing.write(x, items, value) }
    do {
      switch value {
      case .tensor(let tensor): try x.setIndex(items, tensor, from: first)
      case .number(let number): try x.setIndex(items, number, from: first)
      }
    } catch let error as TensorError where error.operation != "index" {
      // Scripts know nothing of the operation that writes the elements.
      throw TensorError(error.kind, "index assignment", error.facts)
    }
  }

  /// What is assigned: the third argument.
  static func value(_ call: borrowing Call, _ dtype: DType) throws -> Operand {
    if let tensor = call.anyTensor(3) { return .tensor(tensor) }
    if let number = call[3].scalar { return .number(number) }
    if call.type(3) == .table {
      var takesValues = false
      let list = try tensor(from: call[3], dtype: dtype, "index assignment") { takesValues = true }
      guard !takesValues else {
        throw ArgumentError(
          "index assignment: the list holds tensors that require grad, whose gradients would be lost; write mg.stack{ … } to keep them, or detach() them first"
        )
      }
      return .tensor(list)
    }
    throw ArgumentError("index assignment: expected a tensor, a number or a list of numbers, got \(Decoder.found(call[3]))")
  }
}
