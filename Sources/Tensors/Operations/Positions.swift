// Positions along a dimension, checked by the kernels that read them.

import CKernels

/// Positions as an operation is given them: whole numbers that count from 0, or as scripts have them from 1, and negative ones from
/// the end. Kernels read them as they are, since a pass that moves them to 0 takes half as long as reading by them.
public struct Positions {
  package let tensor: Tensor
  /// 0 or 1.
  package let first: Int

  package init(_ tensor: Tensor, from first: Int = 0) {
    self.tensor = tensor
    self.first = first
  }

  var shape: Shape { tensor.shape }
  var layout: Layout { tensor.layout }
  var rank: Int { tensor.rank }
  var count: Int { tensor.count }

  func mapped(_ change: (Tensor) throws -> Tensor) rethrows -> Positions { Positions(try change(tensor), from: first) }

  /// The same as kernels read them: int64, one after another.
  func readable(_ operation: String) throws -> Positions {
    guard !tensor.dtype.isFloating, tensor.dtype != .bool else {
      throw TensorError(.dtype, operation, "indices must be whole numbers (int64), got a tensor of \(tensor.dtype)")
    }
    return try mapped { try $0.converted(to: .int64).packed() }
  }

  // MARK: Of readable ones

  var pointer: UnsafePointer<Int64> { UnsafePointer(tensor.data.assumingMemoryBound(to: Int64.self)) }

  var asPlaces: Kernels.Positions { Kernels.Positions(pointer: tensor.data, layout: tensor.layout, first: first) }

  /// Calls a kernel that checks these positions along an axis of `size`, with room for them counted from 0 where the tape will keep
  /// that. Returns it, else the positions as they are.
  func checked(
    _ size: Int, _ axis: Int, _ operation: String, keeps: Bool, _ kernel: (_ places: Tensor?) throws -> Bool
  ) throws -> Tensor {
    let places = keeps ? try Tensor(uninitialized: shape, .int64) : nil
    guard try kernel(places) else { throw outOfRange(size, axis, operation) }
    return places ?? tensor
  }

  /// The error of the first position that does not lie along an axis of `size`.
  private func outOfRange(_ size: Int, _ axis: Int, _ operation: String) -> TensorError {
    let wrong = (0..<count).lazy.map { Int(self.pointer[$0]) }.first { $0 < -size || $0 >= size + first || (0..<first).contains($0) }
    if first == 1, wrong == 0 { return Positions.zero(operation) }
    let index = wrong ?? 0
    return TensorError(
      .index, operation,
      "index \(index: index < 0 ? index : index - first) is out of range for dimension \(index: axis) of size \(size)")
  }

  /// The error of a 0 among positions that count from 1.
  private static func zero(_ operation: String) -> TensorError {
    TensorError(.index, operation, "index 0 is out of range: indices start at 1 (and -1 is the last)")
  }

  // MARK: Of any

  /// int64 positions along an axis of `size`, checked, that count from 0 all.
  func checked(_ size: Int, _ axis: Int, _ operation: String) throws -> Tensor {
    let index = try readable(operation)
    return try index.checked(size, axis, operation, keeps: true) { places in
      try Kernels.positions(length: size, fromEnd: true, index.asPlaces, into: places?.asPlaces)
    }
  }

  /// The same tensor, or a copy of what counts from 1 that counts from 0; negative ones stay.
  func fromZero(_ operation: String) throws -> Tensor {
    guard first == 1 else { return tensor }
    guard let result = try tensor.countedFromZero() else { throw Positions.zero(operation) }
    return result
  }
}

extension Tensor {
  /// int64 positions along an axis of `size`, checked, with negative ones counted from the end.
  func checkedPositions(_ size: Int, _ axis: Int, _ operation: String) throws -> Tensor {
    try Positions(self).checked(size, axis, operation)
  }

  /// Whether all of these whole numbers are positions along a dimension of `size`, counted from 0.
  package func liesWithin(_ size: Int) throws -> Bool {
    let labels = try converted(to: .int64).packed()
    return try Kernels.positions(length: size, fromEnd: false, labels.asPlaces, into: nil)
  }

  private static let fromOne = NamedKernel("positions_from_one")

  /// Whole numbers that count from 1, as int64 that count from 0, in memory of their own; negative ones stay. Nil where there
  /// is a 0 among them.
  package func countedFromZero() throws -> Tensor? {
    let given = try converted(to: .int64).packed()
    let result = try Tensor(uninitialized: shape, .int64)
    let (hasZero, _) = try Tensor.fromOne(.int64, .read(given.data, .int64, count), .write(result.data, .int64, count))
    return hasZero == 0 ? result : nil
  }

  /// Whether an operation on this tensor, and another, of positions will keep them, or repeat itself on tangents.
  func keepsPositions(_ other: Tensor? = nil) throws -> Bool {
    if TangentLevels.areInForce { return true }
    guard GradMode.isEnabled, dtype.isFloating else { return false }
    return try feeds() || (other?.feeds() ?? false)
  }
}
