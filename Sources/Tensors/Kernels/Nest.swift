// Nests: the loops that walk strided operands, as kernels are given them.

import CKernels

extension mg_loop {
  private typealias Strides = InlineArray<8, Int>

  package init(_ shape: Shape, _ a: borrowing Layout) {
    self.init(shape, [a.strides, Strides(repeating: 0), Strides(repeating: 0), Strides(repeating: 0)], operands: 1)
  }

  package init(_ shape: Shape, _ a: borrowing Layout, _ b: borrowing Layout) {
    self.init(shape, [a.strides, b.strides, Strides(repeating: 0), Strides(repeating: 0)], operands: 2)
  }

  package init(_ shape: Shape, _ a: borrowing Layout, _ b: borrowing Layout, _ c: borrowing Layout) {
    self.init(shape, [a.strides, b.strides, c.strides, Strides(repeating: 0)], operands: 3)
  }

  package init(
    _ shape: Shape, _ a: borrowing Layout, _ b: borrowing Layout, _ c: borrowing Layout, _ d: borrowing Layout
  ) {
    self.init(shape, [a.strides, b.strides, c.strides, d.strides], operands: 4)
  }

  /// The nest over `shape` for operands with those strides, all of that shape already; operand 0 is the first.
  /// Neighbouring dimensions are merged wherever every operand allows, and dimensions of size 1 disappear.
  private init(_ shape: Shape, _ strides: InlineArray<4, InlineArray<8, Int>>, operands: Int) {
    self.init()
    var depth = 0
    withUnsafeMutableBytes(of: &size) { sizeBytes in
      withUnsafeMutableBytes(of: &stride) { strideBytes in
        let size = sizeBytes.assumingMemoryBound(to: Int64.self)
        let stride = strideBytes.assumingMemoryBound(to: Int64.self)
        for dimension in 0..<shape.rank where shape.sizes[dimension] != 1 {
          let length = shape.sizes[dimension]
          var merges = depth > 0
          var k = 0
          while merges, k < operands {
            merges = Int(stride[k * 8 + depth - 1]) == strides[k][dimension] * length
            k += 1
          }
          if merges {
            size[depth - 1] *= Int64(length)
          } else {
            size[depth] = Int64(length)
            depth += 1
          }
          for k in 0..<operands { stride[k * 8 + depth - 1] = Int64(strides[k][dimension]) }
        }
      }
    }
    rank = Int32(depth)
  }
  /// The elements that the nest has.
  var count: Int {
    var count = 1
    withUnsafeBytes(of: size) { sizes in
      for dimension in 0..<Int(rank) { count *= Int(sizes.load(fromByteOffset: 8 * dimension, as: Int64.self)) }
    }
    return count
  }

  /// The same nest for an operand `number` whose elements lie one after another.
  func packing(_ number: Int) -> mg_loop {
    var result = self
    let rank = Int(rank)
    withUnsafeBytes(of: size) { sizes in
      withUnsafeMutableBytes(of: &result.stride) { strides in
        var step: Int64 = 1
        for dimension in (0..<rank).reversed() {
          strides.storeBytes(of: step, toByteOffset: 8 * (number * Int(MG_MAX_RANK) + dimension), as: Int64.self)
          step *= sizes.load(fromByteOffset: 8 * dimension, as: Int64.self)
        }
      }
    }
    return result
  }

  /// The nest that copies operand `number` to where its elements lie one after another.
  func gathering(_ number: Int) -> mg_loop {
    var result = packing(0)
    withUnsafeBytes(of: stride) { own in
      withUnsafeMutableBytes(of: &result.stride) { strides in
        let row = 8 * Int(MG_MAX_RANK)
        strides.baseAddress!.advanced(by: row).copyMemory(from: own.baseAddress!.advanced(by: number * row), byteCount: row)
      }
    }
    return result
  }
}
