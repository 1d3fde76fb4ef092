// Families of operations are tables. A row is a name, a kernel and a formula for each input; what rows share stands here.

import CKernels

/// The formula of one input's gradient, and what it reads of the forward pass.
package struct Rule: Sendable {
  let uses: Uses
  /// The input by which the rule multiplies the gradient, where that is all it does.
  let factor: KeptSlot?
  let formula: @Sendable (borrowing Backward) throws -> Tensor

  package static func uses(_ uses: Uses, _ formula: @escaping @Sendable (borrowing Backward) throws -> Tensor) -> Rule {
    Rule(uses: uses, factor: nil, formula: formula)
  }

  /// g · a or g · b: computed in the gradient's own buffer where nobody reads that afterwards.
  package static func times(_ factor: Uses) -> Rule {
    // Formulas that capture nothing cost nothing to hold.
    factor == .a
      ? Rule(uses: .a, factor: .input(0)) { c in try c.g * c.a } : Rule(uses: .b, factor: .input(1)) { c in try c.g * c.b }
  }

  /// The gradient of an input. `isLast` says that no other rule will read the pass's gradient.
  @inline(__always)
  func contribution(_ pass: inout Backward, isLast: Bool) throws -> Tensor {
    if isLast, let factor, let g = pass.reusable(), try scale(g, by: factor, pass) { return g }
    return try formula(pass)
  }

  @inline(__always)
  private func scale(_ g: Tensor, by slot: KeptSlot, _ pass: borrowing Backward) throws -> Bool {
    if slot == .input(1), let number = pass.number {
      try Elementwise.binary(MG_MUL, g, number, into: g)
      return true
    }
    let factor = try pass.read(slot)
    guard factor.shape == g.shape, factor.dtype == g.dtype, factor.isContiguous else { return false }
    try Elementwise.binary(MG_MUL, g, factor, into: g)
    return true
  }
}

/// A row of a table. Rows are constants of the program, so nodes refer to them without counting.
package protocol Row: AnyObject, Sendable {
  var nodeName: String { get }
  var rule0: Rule? { get }
  var rule1: Rule? { get }
  /// What the rules read.
  var uses0: Uses { get }
  var uses1: Uses { get }
  func gradient(_ pass: inout Backward) throws
  func apply(_ inputs: [Tensor]) throws -> [Tensor]
  var slotNames: KeyValuePairs<String, KeptSlot> { get }
  var passage: Passage { get }
  var tangentRule: TangentRule { get }
}

extension Row {
  /// Computes the gradients that are needed.
  @inline(__always)
  func runRules(_ pass: inout Backward) throws {
    let wantsSecond = rule1 != nil && pass.needs(1)
    if let rule0, pass.needs(0) { pass[0] = try rule0.contribution(&pass, isLast: !wantsSecond) }
    if let rule1, wantsSecond { pass[1] = try rule1.contribution(&pass, isLast: true) }
  }

  package func gradient(_ pass: inout Backward) throws { try runRules(&pass) }

  package var slotNames: KeyValuePairs<String, KeptSlot> { ["self": .input(0), "other": .input(1), "result": .output] }
  package var passage: Passage { .everywhere }
  package var tangentRule: TangentRule { .elementwise }
}

/// A row as an operation: the row is its only attribute.
struct RowOperation<R: Row>: Operation {
  private let constant: Unmanaged<R>

  @inline(__always)
  init(_ row: R) { constant = .passUnretained(row) }

  private var row: R { constant.takeUnretainedValue() }
  var nodeName: String { row.nodeName }
  var slotNames: KeyValuePairs<String, KeptSlot> { row.slotNames }
  var passage: Passage { row.passage }
  var tangentRule: TangentRule { row.tangentRule }
  static var broadcasts: Bool { true }

  @inline(__always)
  func uses(_ number: Int) -> Uses { constant._withUnsafeGuaranteedRef { number == 0 ? $0.uses0 : $0.uses1 } }

  func gradient(_ pass: inout Backward) throws { try constant._withUnsafeGuaranteedRef { try $0.gradient(&pass) } }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { try row.apply(inputs) }
}

extension Tensor {
  /// These values as a function of `x` too, which they depend on in steps only: its derivative is 0, and there. A gradient
  /// made of comparisons with x can so be differentiated by x, as users expect who do not know which of them are flat.
  func flat(in x: Tensor) throws -> Tensor {
    guard GradMode.isEnabled, try x.feeds() else { return self }
    return try alias().recorded(Flat(from: x.shape, dtype: x.dtype), self, x)
  }

  private struct Flat: Operation {
    let from: Shape
    let dtype: DType

    var nodeName: String { "FlatBackward" }

    func gradient(_ c: inout Backward) throws {
      if c.needs(0) { c[0] = c.g }
      if c.needs(1) { c[1] = try Tensor.zeros(from, dtype: dtype) }
    }

    func apply(_ inputs: [Tensor]) throws -> [Tensor] { [try inputs[0].flat(in: inputs[1])] }
  }
}
