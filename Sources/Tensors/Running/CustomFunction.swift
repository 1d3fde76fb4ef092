// Functions whose gradient their author gives.

/// Puts a computation on the tape that was made without recording, with a gradient of its author's.
package enum CustomFunction {
  /// What a result is.
  package enum Role: String {
    /// Computed from the inputs, with a gradient.
    case differentiable
    /// Without a gradient, as integers always are.
    case constant
    /// An input that the computation wrote to.
    case dirty
  }

  /// How the gradient is computed.
  package struct Gradient {
    /// Whether outputs that nothing came back to get zeros, or nil.
    var materializes: Bool
    /// Whether the gradient itself cannot be differentiated.
    var isOnceDifferentiable: Bool
    /// The inputs' gradients from the saved values and the outputs' gradients.
    let body: (_ saved: [Tensor], _ gradients: [Tensor?]) throws -> [Tensor?]

    package init(
      materializes: Bool, isOnceDifferentiable: Bool, body: @escaping (_ saved: [Tensor], _ gradients: [Tensor?]) throws -> [Tensor?]
    ) {
      self.materializes = materializes
      self.isOnceDifferentiable = isOnceDifferentiable
      self.body = body
    }
  }

  /// Records the computation of `outputs` from `inputs`; returns the outputs with their history, which may be other
  /// objects with the same elements. Throws where a dirty result is no input, or cannot be written to.
  package static func record(
    _ name: String, inputs: [Tensor], outputs: [(tensor: Tensor, role: Role)], saved: [Tensor], _ gradient: Gradient
  ) throws -> [Tensor] {
    let given = Positions(inputs)
    for (output, role) in outputs where role == .dirty {
      guard given[output] != nil else {
        throw TensorError(.autograd, name, "mark_dirty: a result of shape \(output.shape) is marked dirty but is none of the inputs")
      }
      try output.checkWritable(by: name + ": mark_dirty")
    }
    guard try inputs.allSatisfy({ try $0.tangents.isEmpty }) else {
      throw TensorError(
        .autograd, name, "a function with a gradient of its own has no derivative in forward mode; use mg.func.vjp or jacrev")
    }
    guard GradMode.isEnabled, try inputs.contains(where: { try $0.feeds() }) else {
      let isCut = inputs.contains(where: \.requiresGrad)
      return outputs.map { output, role in
        // Another object than the input, which keeps its own history.
        let result = role != .dirty && given[output] != nil ? output.alias() : output
        if role != .dirty, isCut { result.noteCut(.madeWithoutGrad) }
        return result
      }
    }

    let node = CustomNode(
      name, gradient, inputs: inputs.map { ($0.shape, $0.dtype) }, outputs: outputs.map { ($0.tensor.shape, $0.tensor.dtype) },
      edges: Edges(try inputs.map { try $0.feeds() ? $0.edge : .none }))
    if outputs.count > 1 { node.setOutputs(outputs.count) }
    let made = Positions(outputs.map(\.tensor))
    try node.keep(
      saved.map { tensor in
        // A dirty tensor is saved as it was left: as a result.
        if let index = made[tensor], outputs[index].role != .constant {
          return (tensor, .output(index))
        }
        if let index = given[tensor] { return (tensor, .input(index)) }
        return (tensor, .between)
      })
    let storages = Set(inputs.map { ObjectIdentifier($0.storage) })
    return try outputs.enumerated().map { index, output in
      try attach(
        output.tensor, output.role, to: node, Int32(index), isInput: given[output.tensor] != nil,
        sharesInput: storages.contains(ObjectIdentifier(output.tensor.storage)))
    }
  }

  /// Where tensors stand first in a list; found without a search, since there may be thousands of them.
  private struct Positions {
    private let positions: [ObjectIdentifier: Int]

    init(_ list: [Tensor]) {
      positions = Dictionary(list.enumerated().map { (ObjectIdentifier($1), $0) }) { first, _ in first }
    }

    subscript(tensor: Tensor) -> Int? { positions[ObjectIdentifier(tensor)] }
  }

  private static func attach(
    _ output: Tensor, _ role: Role, to node: Node, _ index: Int32, isInput: Bool, sharesInput: Bool
  ) throws -> Tensor {
    if role == .dirty {
      try output.rebase(onto: node, index: index)
      return output
    }
    // A result that has a place in the graph already keeps it; the new history is another object's.
    let isTaken = isInput || output.node != nil || output.base != nil || output.requiresGrad
    guard role == .differentiable, output.dtype.isFloating else { return isTaken ? output.detach() : output }
    let result = isTaken ? output.alias() : output
    // A write to a result that is an input's memory would change that behind its history.
    result.flags = sharesInput ? [.sharesInput] : []
    result.node = node
    result.outputIndex = index
    return result
  }
}

/// The node of a function whose author is a script (or a host): its gradient is a closure, which the tape knows nothing of.
private final class CustomNode: Node {
  private typealias Form = (shape: Shape, dtype: DType)
  private let title: String
  private let gradient: CustomFunction.Gradient
  private let inputs: [Form]
  private let outputs: [Form]

  init(
    _ title: String, _ gradient: CustomFunction.Gradient, inputs: [(Shape, DType)], outputs: [(Shape, DType)], edges: Edges
  ) {
    self.title = title
    self.gradient = gradient
    self.inputs = inputs.map { ($0, $1) }
    self.outputs = outputs.map { ($0, $1) }
    super.init(edges: edges)
  }

  override var name: String { title }

  override func run(_ pass: inout Backward) throws {
    var arrived = outputs.count > 1 ? pass.gradients : [pass.g]
    while arrived.count < outputs.count { arrived.append(nil) }
    if gradient.materializes {
      for (index, form) in outputs.enumerated() where arrived[index] == nil && form.dtype.isFloating {
        arrived[index] = try Tensor.zeros(form.shape, dtype: form.dtype)
      }
    }
    let kept = try keptValues(graph: pass.createsGraph)
    let once = gradient.isOnceDifferentiable
    let found = try withGradMode(enabled: GradMode.isEnabled && !once) { try gradient.body(kept, arrived) }
    guard found.count == inputs.count else {
      throw TensorError(.argument, title + place, "backward returned \(found.count) gradients for \(inputs.count) inputs")
    }
    for (index, gradient) in found.enumerated() where pass.needs(index) {
      guard let gradient else { continue }
      let fitted = try fit(gradient, index)
      pass[index] = once && pass.createsGraph ? undifferentiable(fitted) : fitted
    }
  }

  private func fit(_ gradient: Tensor, _ index: Int) throws -> Tensor {
    var gradient = gradient
    let form = inputs[index]
    if gradient.shape != form.shape {
      guard let reached = try? Shape.broadcast(form.shape, gradient.shape, title), reached == gradient.shape else {
        throw TensorError(
          .shape, title + place,
          "backward returned a gradient of shape \(gradient.shape) for input \(index: index), which has shape \(form.shape)")
      }
      gradient = try gradient.summed(to: form.shape)
    }
    return gradient.dtype == form.dtype ? gradient : try gradient.to(form.dtype)
  }

  /// A gradient that raises when it is itself differentiated.
  private func undifferentiable(_ gradient: Tensor) -> Tensor {
    let result = gradient.alias()
    result.node = OperationNode(OnceDifferentiable(of: title), edges: edges)
    return result
  }
}

private struct OnceDifferentiable: Operation {
  let of: String
  var nodeName: String { "OnceDifferentiableBackward" }

  func gradient(_ c: inout Backward) throws { throw error }
  func apply(_ inputs: [Tensor]) throws -> [Tensor] { throw error }

  private var error: TensorError {
    TensorError(
      .autograd, of, "the gradient was declared once_differentiable, so that it cannot be differentiated itself")
  }
}
