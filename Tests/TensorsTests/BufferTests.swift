// A host's numbers and a tensor's: copied each way, looked at in place, lent, and written down.

import Tensors
import Testing

@Suite struct BufferTests {
  private func check<Element: TensorElement & Equatable>(_ elements: [Element]) throws {
    let x = try Tensor(elements, shape: [2, 3])
    #expect(x.dtype == Element.dtype && x.shape == [2, 3])
    #expect(try x.array(of: Element.self) == elements)
    #expect(try x.t().array(of: Element.self) == [0, 3, 1, 4, 2, 5].map { elements[$0] })
    #expect(try elements.withUnsafeBufferPointer { try Tensor($0, shape: [2, 3]).equal(x) })
    #expect(try Tensor(copying: elements.span).array() == elements)
    #expect(try x.withSpan(of: Element.self) { span in span.indices.map { span[$0] } } == elements)
    let bytes = try x.withUnsafeBytes { Array($0) }
    #expect(try Tensor(bytes: bytes, shape: [2, 3], dtype: Element.dtype).equal(x))
    #expect(
      try Tensor(bytes: bytes.reversed().reversed() as ReversedCollection<ReversedCollection<[UInt8]>>, shape: [2, 3], dtype: x.dtype)
        .equal(x))
    #expect(try Tensor([Element](), shape: [0]).array(of: Element.self).isEmpty)
  }

  @Test func everyElementTypeComesBack() throws {
    try check([1, -2, 3.5, 4, 5, 6] as [Float])
    try check([1, -2, 3.5, 4, 5, 6] as [Double])
    try check([1, -2, 3.5, 4, 5, 6] as [Float16])
    try check([1, -2, 3, 4, 5, .max] as [Int])
    try check([1, -2, 3, 4, 5, .min] as [Int64])
    try check([1, -2, 3, 4, 5, .max] as [Int32])
    try check([1, -2, 3, 4, 5, .max] as [Int16])
    try check([1, -2, 3, 4, 5, .max] as [Int8])
    try check([1, 2, 3, 4, 5, .max] as [UInt8])
    let truths = [true, false, true]
    #expect(try Tensor(truths).booleans == truths)
    #expect(try Tensor(truths).integers == truths.map { $0 ? 1 : 0 })
    #expect(try Tensor(bytes: [7, 0, 1] as [UInt8], shape: [3], dtype: .bool).withUnsafeBytes { Array($0) } == [1, 0, 1])
  }

  @Test func whatCannotBeReadSaysSo() throws {
    let x = try Tensor([1.5, 2] as [Float])
    #expect(throws: TensorError.self) { try x.array(of: Int.self) }
    #expect(throws: TensorError.self) { try Tensor([1, 2]).array(of: Int32.self) }
    #expect(throws: TensorError.self) { try x.withSpan(of: Double.self) { $0.count } }
    #expect(throws: TensorError.self) { try Tensor([1, 2, 3] as [Float], shape: [2, 2]) }
    #expect(throws: TensorError.self) { try Tensor(bytes: [1, 2, 3] as [UInt8], shape: [1], dtype: .float32) }
    #expect(throws: TensorError.self) { try Tensor(bytes: [UInt8](repeating: 0, count: 8), shape: [1], dtype: .float32) }
    #expect(throws: TensorError.self) { try Tensor([1, 2, 3, 4, 5] as [Float], shape: [2, 2]) }
    #expect(throws: TensorError.self) { try Tensor.ones([1]).expand([1 << 40]).array(of: Float.self) }
    #expect(try x.array(of: Double.self) == [1.5, 2] && Tensor([1, 2] as [Int16]).array(of: Int.self) == [1, 2])
    #expect(try Tensor([1, 2]).array(of: Float.self) == [1, 2] && Tensor([true]).array(of: Int.self) == [1])
    do { _ = try x.array(of: Int.self) } catch let error as TensorError {
      #expect("\(error)".contains("elements of float32 cannot be read as int64; convert them with to(.int64) first"))
    }
  }

  @Test func spansAreTheElementsThemselves() throws {
    let x = try Tensor([1, 2, 3] as [Float])
    let first = try x.withUnsafeBytes { $0.baseAddress }
    #expect(try x.withSpan(of: Float.self) { span in span.withUnsafeBytes { $0.baseAddress } } == first)
    try x.withMutableSpan(of: Float.self) { span in for place in span.indices { span[place] *= 2 } }
    #expect(x.doubles == [2, 4, 6])
    // Strided ones are written back.
    let y = try Tensor([[1, 2], [3, 4]])
    try y.t().withMutableSpan(of: Float.self) { span in span[1] = 9 }
    #expect(y.doubles == [1, 2, 9, 4])
    struct Stop: Error {}
    #expect(throws: Stop.self) { try x.withUnsafeMutableBytes { _ in throw Stop() } }
  }

  /// Whole numbers of any dtype; of floats what is left of the point, as far as an Int goes.
  @Test func wholeNumbers() throws {
    let labels = try Tensor([[1, -2, .max], [4, 5, .min]].flatMap { $0 }, shape: [2, 3])
    #expect(labels.integers == [1, -2, .max, 4, 5, .min])
    #expect(try labels.t().integers == [1, 4, -2, 5, .max, .min])
    #expect(try Tensor([0, 255] as [UInt8]).integers == [0, 255] && Tensor([Int]()).integers == [])
    #expect(try Tensor([1.9, -1.9, 0, .nan, .infinity, -1e300], dtype: .float64).integers == [1, -1, 0, 0, .max, .min])
    #expect(try Tensor([[0, 2, 1], [3, 0, 0]]).argmax(1).integers == [1, 0])
  }

  @Test func writesCountAsWrites() throws {
    let x = try Tensor([1, 2] as [Float])
    let before = x.version
    try x.withUnsafeMutableBytes { _ in }
    #expect(x.version == before + 1)
    // A leaf, and what was computed from it.
    let w = try Tensor([1, 2] as [Float])
    try w.setRequiresGrad(true)
    let y = try w * w
    for tensor in [w, y, try w.view([2, 1])] {
      #expect(throws: TensorError.self) { try tensor.withUnsafeMutableBytes { _ in Issue.record("was called") } }
    }
    // A saved value that was written to is noticed.
    try withNoGrad { try w.withMutableSpan(of: Float.self) { $0[0] = 5 } }
    #expect(throws: TensorError.self) { try y.sum().backward() }
    // Guards and shared elements refuse.
    let held = WriteGuard([("x", x)])
    #expect(throws: TensorError.self) { try x.withUnsafeMutableBytes { _ in } }
    held.end()
    #expect(throws: TensorError.self) { try x.sum().expand([4]).withUnsafeMutableBytes { _ in } }
  }

  @Test func memoryOfTheHosts() throws {
    var ends = 0
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 64)
    memory.storeBytes(of: 3, toByteOffset: 4, as: Float.self)
    memory.storeBytes(of: 0, as: Float.self)
    memory.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
    let before = Context.memoryUse.live
    var x: Tensor? = try Tensor(borrowing: memory, shape: [2, 2], dtype: .float32) { ends += 1 }
    #expect(Context.memoryUse.live == before)
    var row: Tensor? = try x?.select(0, 0)
    try x! += 1
    #expect(memory.load(fromByteOffset: 4, as: Float.self) == 4)
    memory.storeBytes(of: 9, toByteOffset: 4, as: Float.self)
    #expect(row?.doubles == [1, 9])
    x = nil
    #expect(ends == 0)
    row = nil
    #expect(ends == 1)
    let part = UnsafeMutableRawBufferPointer(rebasing: memory[1..<5])
    #expect(throws: TensorError.self) { try Tensor(borrowing: part, shape: [1], dtype: .float32) { ends += 1 } }
    #expect(throws: TensorError.self) { try Tensor(borrowing: memory, shape: [3], dtype: .float32) { ends += 1 } }
    #expect(ends == 1)
    memory.deallocate()
  }

  @Test func literals() throws {
    let whole: Tensor = [[1, -2], [3, 4]]
    #expect(whole.dtype == .int64 && whole.shape == [2, 2] && whole.doubles == [1, -2, 3, 4])
    let mixed: Tensor = [1, 2.5, -3]
    #expect(mixed.dtype == .float32 && mixed.doubles == [1, 2.5, -3])
    let truths: Tensor = [true, false]
    #expect(truths.dtype == .bool && truths.booleans == [true, false])
    let empty: Tensor = [[], []]
    #expect(empty.shape == [2, 0] && empty.dtype == .float32)
    let deep: Tensor = [[[1], [2]], [[3], [4]]]
    #expect(deep.shape == [2, 2, 1])
    #expect(try (Tensor([[1, 2], [3, 4]]).matmul([[0.5], [1]])).doubles == [2.5, 5.5])
    #expect(try Tensor(nested: [[[1, 2]], [[3, 4]]] as [[[Int32]]]).shape == [2, 1, 2])
    #expect(try Tensor(nested: [[[Float]]]()).shape == [0, 0, 0])
    #expect(throws: TensorError.self) { try Tensor(nested: [[1.0, 2], [3]]) }
    #expect(throws: TensorError.self) { try Tensor(nested: [[[1], [2]], [[3]]]) }
  }

  #if !os(Linux) || compiler(>=6.2)
    @Test func raggedLiteralsStopTheProgram() async {
      await #expect(processExitsWith: .failure) { let _: Tensor = [[1, 2], [3]] }
      await #expect(processExitsWith: .failure) { let _: Tensor = [1, [2]] }
      await #expect(processExitsWith: .failure) { let _: Tensor = [[1], 2] }
    }
  #endif
}

@Suite struct UpdatingTests {
  /// A whole number leaves whole numbers whole, a float makes floats of them; floats take either.
  @Test func wholeNumbers() throws {
    let labels = try Tensor([0, 1, 2])
    #expect(try (labels + 1).dtype == .int64 && (labels + 1).integers == [1, 2, 3])
    #expect(try (labels - 1).integers == [-1, 0, 1] && (labels * 3).integers == [0, 3, 6])
    #expect(try (1 + labels).integers == [1, 2, 3] && (5 - labels).integers == [5, 4, 3] && (2 * labels).dtype == .int64)
    #expect(try (labels + 1.0).dtype == .float32 && (labels / 2).doubles == [0, 0.5, 1])
    let x = try Tensor([0.5, 1.5])
    #expect(try (x + 1).dtype == x.dtype && (2 * x - 1).doubles == [0, 2])
    try labels += 1
    try labels *= 2
    try labels -= 3
    #expect(labels.dtype == .int64 && labels.integers == [-1, 1, 3])
  }

  @Test func operatorsWriteInPlace() throws {
    let x = try Tensor([1, 2] as [Float])
    let view = try x.view([2, 1])
    try x += 1
    try x *= x
    try x -= Tensor([1, 1] as [Float])
    try x /= 2
    #expect(view.doubles == [1.5, 4])
    #expect(throws: TensorError.self) { try x += Tensor.ones([3]) }
    #expect(throws: TensorError.self) { try Tensor([1, 2]) /= 2 }
  }

  @Test func updatesAreRecordedWrites() throws {
    let x = try Tensor([1, 2] as [Float])
    try x.setRequiresGrad(true)
    do {
      try x.update { try $0 * 2 }
      Issue.record("a leaf was written to")
    } catch let error as TensorError { #expect(error.operation == "update") }
    let y = try x * 3
    try y.update { try $0.square() + x }
    try y.sum().backward()
    #expect(y.doubles == [10, 38] && x.grad?.doubles == [19, 37])
    _ = try withNoGrad { try x.update { try $0.clamp(.integer(0), .real(1.5)) } }
    #expect(x.doubles == [1, 1.5])
    let before = try Tensor([1, 2])
    #expect(throws: TensorError.self) { try before.update { try $0 * 0.5 } }
    #expect(throws: TensorError.self) { try before.update { try $0.sum() } }
    struct Stop: Error {}
    #expect(throws: Stop.self) { try before.update { _ in throw Stop() } }
    #expect(before.doubles == [1, 2])
  }

  @Test func everyOperationByItsName() throws {
    let x = try Tensor([[1, 2], [3, 4]])
    #expect(try x.call("triu", 1).doubles == [0, 2, 0, 0])
    #expect(try x.call("add", 1, options: ["alpha": 2]).doubles == [3, 4, 5, 6])
    try x.call("clamp_", 2, 3.5)
    #expect(x.doubles == [2, 2, 3, 3.5])
    try x.call("addcmul_", .tensor(x), .tensor(x), options: ["value": 0.5])
    #expect(x.doubles == [4, 4, 7.5, 9.625])
    #expect(throws: TensorError.self) { try x.call("no_such") }
    #expect(throws: TensorError.self) { try x.call("matmul_", .tensor(x)) }
    #expect(throws: TensorError.self) { try x.call("triu", 1, 2) }
    #expect(throws: TensorError.self) { try x.call("triu", options: ["where": 2]) }
    #expect(throws: TensorError.self) { try x.call("triu", "one") }
  }

  @Test func comparing() throws {
    let x = try Tensor([1, 2] as [Float])
    #expect(try x.equal(Tensor([1, 2])) && !x.equal(Tensor([1, 2, 3])) && !x.equal(Tensor([1, 2.5])))
    #expect(try !Tensor([.nan] as [Float]).equal(Tensor([.nan] as [Float])))
    #expect(try x.allClose(Tensor([1.000001, 2])) && !x.allClose(Tensor([1.1, 2])) && x.allClose(Tensor([1.1, 2]), atol: 0.2))
  }

  @Test func theOnlyElement() throws {
    let sum = try Tensor([1.5, 2]).sum()
    let value: Double = try sum.item()
    #expect(try value == 3.5 && sum.item() == 3.5 && sum.item() == Scalar.real(3.5))
    #expect(try Tensor([1, 2]).sum().item() == 3.0)
    #expect(throws: TensorError.self) { let _: Double = try Tensor([1, 2]).item() }
  }
}
