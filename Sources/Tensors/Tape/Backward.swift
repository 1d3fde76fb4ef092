// What formulas see of a backward run: one node's turn (the run itself is in Run.swift).

/// One node's turn: the gradient that arrived, and where the formula puts the inputs' gradients.
///
/// Not copyable, since a copy would count five references for nothing, and would keep the gradient's buffer from being
/// used again.
package struct Backward: ~Copyable {
  package let node: Node
  /// The gradient of output 0, until the formulas have run or one of them has taken its buffer over.
  private var arrived: Tensor?
  /// Whether the gradients themselves will be differentiated, so that formulas must be made of operations.
  package let createsGraph: Bool
  private let wanted: UInt64
  /// A plain number in the place of input 1.
  var number: Scalar?
  private var r0 = Seldom<Tensor>()
  private var r1 = Seldom<Tensor>()
  private var r2 = Seldom<Tensor>()
  /// Gradients of several outputs, and of more than three inputs; most nodes have neither.
  private var itsOverflow = Seldom<Overflow>()
  private var overflow: Overflow? { itsOverflow.value }

  private final class Overflow {
    var gradients: [Tensor?] = []
    var more: [Tensor?] = []
  }

  /// Takes over the gradient that waits at the node.
  @inline(__always)
  init(taking node: Node, createsGraph: Bool) {
    self.node = node
    arrived = node.pending.take()
    self.createsGraph = createsGraph
    wanted = ~0
  }

  init(_ node: Node, _ g: Tensor, _ gradients: [Tensor?], createsGraph: Bool, wanted: UInt64) {
    self.node = node
    arrived = g
    self.createsGraph = createsGraph
    self.wanted = wanted
    if !gradients.isEmpty {
      let overflow = Overflow()
      overflow.gradients = gradients
      itsOverflow.value = overflow
    }
  }

  /// The gradient of output 0.
  @inline(__always)
  package var g: Tensor { arrived.unsafelyUnwrapped }

  /// The gradient if nothing but this pass holds it, so that its buffer can become the result of the last formula that
  /// reads it. The caller writes into it and gives it to an input.
  @inline(__always)
  mutating func reusable() -> Tensor? {
    guard !createsGraph, isKnownUniquelyReferenced(&arrived), let g = arrived, g.isContiguous, g.node == nil,
      isKnownUniquelyReferenced(&g.storage)
    else { return nil }
    return g
  }

  /// Lets go of the gradient once all formulas have run.
  @inline(__always)
  mutating func finish() { arrived = nil }

  /// Gradients of all outputs, of a node with several; nil where none arrived.
  package var gradients: [Tensor?] { overflow?.gradients ?? [] }

  /// Whether input `index` wants a gradient.
  @inline(__always)
  package func needs(_ index: Int) -> Bool { node.edges.leads(index) && (index > 63 || wanted >> UInt64(index) & 1 == 1) }

  // The kept values by their names in formulas. Throws when they were freed or written to.
  package var a: Tensor { get throws { try read(.input(0)) } }
  package var b: Tensor { get throws { try read(.input(1)) } }
  package var c: Tensor { get throws { try read(.input(2)) } }
  package var d: Tensor { get throws { try read(.input(3)) } }
  package var y: Tensor { get throws { try read(.output) } }
  package var own: Tensor { get throws { try read(.own(0)) } }
  package var own1: Tensor { get throws { try read(.own(1)) } }
  package var own2: Tensor { get throws { try read(.own(2)) } }

  @inline(__always)
  package func read(_ slot: KeptSlot) throws -> Tensor {
    if let number, slot == .input(1) {
      return try Tensor.filled([], number, dtype: number.category == .floating ? g.dtype : number.promoted(with: g.dtype))
    }
    return try node.read(slot, graph: createsGraph)
  }

  /// The gradient of input `index`.
  @inline(__always)
  package subscript(index: Int) -> Tensor? {
    get {
      switch index {
      case 0: r0.value
      case 1: r1.value
      case 2: r2.value
      default: overflow.flatMap { index - 3 < $0.more.count ? $0.more[index - 3] : nil }
      }
    }
    set {
      switch index {
      case 0: r0.value = newValue
      case 1: r1.value = newValue
      case 2: r2.value = newValue
      default:
        let overflow = overflow ?? Overflow()
        itsOverflow.value = overflow
        while overflow.more.count <= index - 3 { overflow.more.append(nil) }
        overflow.more[index - 3] = newValue
      }
    }
  }

  /// Takes input `index`'s gradient out, so that a buffer nobody else holds can be reused.
  @inline(__always)
  mutating func take(_ index: Int) -> Tensor? {
    switch index {
    case 0: return r0.take()
    case 1: return r1.take()
    case 2: return r2.take()
    default:
      guard let overflow, index - 3 < overflow.more.count else { return nil }
      let result = overflow.more[index - 3]
      overflow.more[index - 3] = nil
      return result
    }
  }
}
