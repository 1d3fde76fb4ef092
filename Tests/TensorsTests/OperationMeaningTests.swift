// What the laws in OperationsTests.swift do not say of single operations: texts of errors, and gradients at odd values.

import Tensors
import Testing

@Suite struct OperationMeaningTests {
  /// A bad label is an error of one_hot itself, with the label and the number of classes.
  @Test func labelsOfOneHot() throws {
    let labels = try Tensor([0, 3, 1])
    #expect(message { _ = try labels.oneHot(3) } == "one_hot: label 3 is not one of the 3 classes")
    #expect(message { _ = try Tensor([0, -1]).oneHot(3) } == "one_hot: label -1 is not one of the 3 classes")
    #expect(message { _ = try Tensor([2, -1]).oneHot(nil) } == "one_hot: label -1 is not one of the 3 classes")
    #expect(message { _ = try Tensor([-2]).oneHot(nil) } == "one_hot: label -2 is not one of the 1 classes")
    let none = try Tensor.zeros([0], dtype: .int64)
    #expect(message { _ = try none.oneHot(nil) } == "one_hot: there are no labels to count the classes by; give num_classes")
    #expect(try none.oneHot(3).shape.array == [0, 3])
    #expect(try labels.oneHot(nil).shape.array == [3, 4])
  }

  @Test func misuseOfEinsum() throws {
    let x = try Tensor.ones([2, 3])
    func refusal(_ equation: String, _ operands: Tensor...) -> String { message { _ = try Tensor.einsum(equation, operands) } }
    let stray = "is neither a letter nor part of the one '...' that each operand and the result may have"
    for equation in ["i..j->ij", "...i...->i", "......", "..", "i....j", "ij->i....j", "...i->......"] {
      #expect(refusal(equation, x) == "einsum: '.' in \"\(equation)\" \(stray)")
    }
    #expect(refusal("i1->i", x) == "einsum: '1' in \"i1->i\" \(stray)")
    #expect(refusal("...ijk->i", x) == "einsum: operand 0 has shape [2, 3], but \"...ijk\" names 3 dimensions")
    #expect(refusal("i", x) == "einsum: operand 0 has shape [2, 3], but \"i\" names 1 dimensions")
    #expect(
      refusal("...i,...i->...", x, try Tensor.ones([4, 3]))
        == "einsum: dimension -1 of '...' stands for sizes 2 and 4 in \"...i,...i->...\"")
    #expect(refusal("ii", try Tensor.ones([1, 3])) == "einsum: 'i' is repeated for one operand, but its sizes are 1 and 3")
    #expect(refusal("...i->...ii", x) == "einsum: the result of \"...i->...ii\" must name different letters")
    #expect(refusal("...i->...j", x) == "einsum: 'j' is in the result of \"...i->...j\" but in no operand")
  }

  /// Where the dimensions that the ellipsis covers end up, and that there may be none of them.
  @Test func ellipsisOfEinsum() throws {
    func sizes(_ equation: String, _ shapes: Shape...) throws -> [Int] {
      try Tensor.einsum(equation, shapes.map { try Tensor.ones($0) }).shape.array
    }
    #expect(try sizes("b...a->a...b", [2, 3, 4, 5]) == [5, 3, 4, 2])
    #expect(try sizes("aB...", [2, 3, 4]) == [4, 3, 2])
    #expect(try sizes("...,...", [2, 3], [3]) == [2, 3])
    #expect(try sizes("i...,j...->ij...", [2, 5], [3, 1]) == [2, 3, 5])
    #expect(try sizes("...->", [2, 3]) == [])
    #expect(try sizes("...->...", []) == [])
    #expect(try sizes("ij->...", [2, 3]) == [])
    #expect(try sizes("... i j -> ... j i", [7, 2, 3]) == [7, 3, 2])
  }

  /// PyTorch's values: what is not known to be 0 passes its gradient on, and what is 0 stays so beside NaN and infinity.
  @Test func gradientsOfReluAtNaN() throws {
    for dtype in [DType.float32, .float64] {
      let x = try Tensor([.nan, -1, 0, 2, .infinity, -.infinity], dtype: dtype)
      try x.setRequiresGrad(true)
      let g = try Tensor([1, .infinity, .nan, 3, 4, 5], dtype: dtype)
      try g.setRequiresGrad(true)
      #expect(try Tape.gradients(of: [x.relu()], [g], inputs: [x])[0]?.doubles == [1, 0, 0, 3, 4, 0])
      let first = try #require(
        try Tape.gradients(of: [x.relu()], [g], inputs: [x], options: BackwardOptions(createGraph: true))[0])
      #expect(first.doubles == [1, 0, 0, 3, 4, 0])
      let weights = try Tensor([1.0, 2, 3, 4, 5, 6], dtype: dtype)
      #expect(try Tape.gradients(of: [first], [weights], inputs: [g])[0]?.doubles == [1, 0, 0, 4, 5, 0])
    }
  }
}
