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
}
