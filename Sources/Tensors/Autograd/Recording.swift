// Putting operations on the tape.

import CKernels

/// The formula of one input's gradient, and what it needs of the forward pass.
package struct Rule: @unchecked Sendable {
  let uses: Uses
  /// The input by which the rule multiplies the gradient, where that is all it does.
  let factor: UInt8?
  let formula: (borrowing Backward) throws -> Tensor

  package static func uses(_ uses: Uses, _ formula: @escaping (borrowing Backward) throws -> Tensor) -> Rule {
    Rule(uses: uses, factor: nil, formula: formula)
  }

  /// g · a or g · b: computed in the gradient's own buffer where nobody reads that afterwards.
  package static func times(_ factor: Uses) -> Rule {
    let slot: UInt8 = factor == .a ? 0 : 1
    return Rule(uses: factor, factor: slot) { c in try c.g * c.input(slot) }
  }

  /// The gradient of an input. `isLast` says that no other rule will read the pass's gradient.
  @inline(__always)
  func compute(_ pass: inout Backward, isLast: Bool) throws -> Tensor {
    if isLast, let factor, let g = pass.reusable(), try scale(g, by: factor, pass) { return g }
    return try formula(pass)
  }

  @inline(__always)
  private func scale(_ g: Tensor, by slot: UInt8, _ pass: borrowing Backward) throws -> Bool {
    if slot == 1, let number = pass.node.number {
      Elementwise.binary(MG_MUL, g, number, into: g)
      return true
    }
    let factor = try pass.input(slot)
    guard factor.shape == g.shape, factor.dtype == g.dtype, factor.isContiguous else { return false }
    mg_binary(MG_MUL, g.dtype.kernel, Int64(g.count), g.data, 1, factor.data, 1, g.data)
    return true
  }
}

/// The gradients of a table-driven operation: a formula for each input.
public class Formulas: @unchecked Sendable {
  let gradName: String
  let rules: [Rule?]
  let rule0: Rule?
  let rule1: Rule?

  init(_ gradName: String, _ rules: [Rule?]) {
    self.gradName = gradName
    self.rules = rules
    rule0 = rules.first ?? nil
    rule1 = rules.count > 1 ? rules[1] : nil
  }

  /// Computes the gradients that are needed.
  func run(_ pass: inout Backward) throws {
    let wantsSecond = rule1 != nil && pass.needs(1)
    if let rule0, pass.needs(0) { pass[0] = try rule0.compute(&pass, isLast: rules.count <= 2 && !wantsSecond) }
    if let rule1, wantsSecond { pass[1] = try rule1.compute(&pass, isLast: rules.count == 2) }
    if rules.count > 2 {
      for index in 2..<rules.count {
        if let rule = rules[index], pass.needs(index) { pass[index] = try rule.formula(pass) }
      }
    }
  }
}

extension Tensor {
  /// This tensor without history. Where an input had one, it remembers why; where an input remembers that, so does it.
  @inline(__always)
  private func unrecorded(_ hadHistory: Bool, _ a: Tensor, _ b: Tensor? = nil) -> Tensor {
    if hadHistory {
      noteCut(GradMode.isEnabled ? .madeInteger : .madeWithoutGrad)
    } else if !a.flags.isDisjoint(with: .cut) {
      takeCut(of: a)
    } else if let b, !b.flags.isDisjoint(with: .cut) {
      takeCut(of: b)
    }
    return self
  }

  private func takeCut(of input: Tensor) {
    flags.formUnion(input.flags.intersection(.cut))
    cutAt = input.cutAt
  }

  /// These values as a function of `x` too, which they depend on in steps only: its derivative is 0, and there. A gradient
  /// made of comparisons with x can so be differentiated by x, as users expect who do not know which of them are flat.
  func flat(in x: Tensor) throws -> Tensor {
    guard GradMode.isEnabled, x.requiresGrad else { return self }
    let (shape, dtype) = (x.shape, x.dtype)
    return alias().recorded("FlatBackward", [self, x]) { c in
      if c.needs(0) { c[0] = c.g }
      if c.needs(1) { c[1] = try Tensor.zeros(shape, dtype: dtype) }
    }
  }

  /// Records an operation with one input by a closure. The closure may hold numbers and shapes freely; when it holds
  /// tensors, say so, so that they are released with the saved values.
  @inline(__always)
  package func recorded(
    _ name: String, _ x: Tensor, uses: Uses = .nothing, holdsTensors: Bool = false, _ gradient: @escaping Node.Gradient
  ) -> Tensor {
    guard GradMode.isEnabled, x.requiresGrad, dtype.isFloating else { return unrecorded(x.requiresGrad, x) }
    let node = Node(name, edges: Edges(x.edge), holdsTensors: holdsTensors, gradient)
    if uses.contains(.a) { node.save(x, slot: 0) }
    if uses.contains(.output) { node.saveOutput(self) }
    self.node = node
    return self
  }

  /// Records an operation with several inputs. `uses[i]` says what input i's gradient needs; values are saved only
  /// for the inputs that require grad.
  package func recorded(
    _ name: String, _ inputs: [Tensor], uses: [Uses] = [], holdsTensors: Bool = false, broadcasts: Bool = false,
    _ gradient: @escaping Node.Gradient
  ) -> Tensor {
    guard GradMode.isEnabled, dtype.isFloating, inputs.contains(where: \.requiresGrad) else {
      return unrecorded(inputs.contains(where: \.requiresGrad), inputs[0], inputs.last)
    }
    let node = Node(name, edges: Edges(inputs.map(\.edge)), holdsTensors: holdsTensors, gradient)
    var needed = Uses.nothing
    for (index, input) in inputs.enumerated() where index < uses.count && input.requiresGrad {
      needed.formUnion(uses[index])
    }
    for (index, input) in inputs.prefix(7).enumerated() where needed.rawValue >> UInt8(index) & 1 == 1 {
      node.save(input, slot: UInt8(index))
    }
    if needed.contains(.output) { node.saveOutput(self) }
    if broadcasts, inputs.contains(where: { $0.shape != shape || $0.dtype != dtype }) { node.forms = InputForms(inputs) }
    self.node = node
    return self
  }

  /// Records several outputs of one operation; `gradients` in the pass are by output.
  package static func record(
    _ name: String, _ inputs: [Tensor], outputs: [Tensor], holdsTensors: Bool = false, _ gradient: @escaping Node.Gradient
  ) {
    guard GradMode.isEnabled, inputs.contains(where: \.requiresGrad) else {
      if inputs.contains(where: \.requiresGrad) { for output in outputs { output.noteCut(.madeWithoutGrad) } }
      return
    }
    let node = Node(name, edges: Edges(inputs.map(\.edge)), holdsTensors: holdsTensors, gradient)
    node.setOutputs(outputs.count)
    for (index, output) in outputs.enumerated() where output.dtype.isFloating {
      output.node = node
      output.outputIndex = Int32(index)
    }
  }

  /// Records a table-driven operation with one input.
  @inline(__always)
  func recorded(_ formulas: Formulas, _ x: Tensor) -> Tensor {
    guard GradMode.isEnabled, x.requiresGrad, dtype.isFloating else { return unrecorded(x.requiresGrad, x) }
    let node = Node(formulas, edges: Edges(x.edge))
    if let uses = formulas.rule0?.uses, uses != .nothing {
      if uses.contains(.a) { node.save(x, slot: 0) }
      if uses.contains(.output) { node.saveOutput(self) }
    }
    self.node = node
    return self
  }

  /// Records a table-driven operation with two inputs.
  @inline(__always)
  func recorded(_ formulas: Formulas, _ a: Tensor, _ b: Tensor) -> Tensor {
    guard GradMode.isEnabled, dtype.isFloating else { return unrecorded(a.requiresGrad || b.requiresGrad, a, b) }
    let wantsA = a.requiresGrad
    let wantsB = b.requiresGrad
    guard wantsA || wantsB else { return self }
    let node = Node(formulas, edges: Edges(a.edge, b.edge))
    var uses = Uses.nothing
    if wantsA, let rule = formulas.rule0 { uses.formUnion(rule.uses) }
    if wantsB, let rule = formulas.rule1 { uses.formUnion(rule.uses) }
    if uses.contains(.a) { node.save(a, slot: 0) }
    if uses.contains(.b) { node.save(b, slot: 1) }
    if uses.contains(.output) { node.saveOutput(self) }
    if a.shape != shape || b.shape != shape || a.dtype != dtype || b.dtype != dtype { node.forms = InputForms([a, b]) }
    self.node = node
    if count == 1, formulas === Binary.add { GrowingHistory.look(at: node, a, b) }
    return self
  }

  /// Records a table-driven operation whose second input is a plain number.
  @inline(__always)
  func recorded(_ formulas: Formulas, _ a: Tensor, number: Scalar, name: String? = nil) -> Tensor {
    guard GradMode.isEnabled, a.requiresGrad, dtype.isFloating else { return unrecorded(a.requiresGrad, a) }
    let node = Node(formulas, edges: Edges(a.edge, .none))
    node.number = number
    if let uses = formulas.rule0?.uses {
      if uses.contains(.a) { node.save(a, slot: 0) }
      if uses.contains(.output) { node.saveOutput(self) }
    }
    if a.dtype != dtype { node.forms = InputForms([a, a]) }
    self.node = node
    return self
  }
}
