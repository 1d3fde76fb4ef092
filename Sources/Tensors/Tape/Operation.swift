// What the tape knows of an operation: attributes, which are plain data, and functions that are handed every tensor they
// see. Nothing here can hold a tensor: operations are `Sendable`, and tensors are not, so the compiler refuses it.

/// A place in which a node keeps a tensor: an input by its number (0–7), the output, or something of the operation's own
/// (positions, statistics).
package struct KeptSlot: RawRepresentable, Hashable, Sendable {
  package let rawValue: UInt8
  @inline(__always)
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  @inline(__always)
  package static func input(_ number: Int) -> KeptSlot { KeptSlot(rawValue: UInt8(truncatingIfNeeded: number)) }
  package static let output = KeptSlot(rawValue: 8)
  @inline(__always)
  package static func own(_ number: Int) -> KeptSlot { KeptSlot(rawValue: 12 + UInt8(truncatingIfNeeded: number)) }

  /// As sentences say it.
  var phrase: String {
    switch rawValue {
    case 0..<8: "input \(rawValue + 1)"
    case 8: "its result"
    default: "a value of its own"
    }
  }
}

/// Slots that a formula reads, a bit for each.
package struct Uses: OptionSet, Sendable {
  package let rawValue: UInt16
  @inline(__always)
  package init(rawValue: UInt16) { self.rawValue = rawValue }

  package static let nothing: Uses = []
  package static let a = Uses(rawValue: 1)
  package static let b = Uses(rawValue: 2)
  package static let c = Uses(rawValue: 4)
  package static let d = Uses(rawValue: 8)
  package static let output = Uses(rawValue: 1 << 8)
  package static let own = Uses(rawValue: 1 << 12)
  package static let own1 = Uses(rawValue: 1 << 13)
  package static let own2 = Uses(rawValue: 1 << 14)

  @inline(__always)
  func contains(_ slot: KeptSlot) -> Bool { rawValue >> UInt16(slot.rawValue) & 1 == 1 }
}

/// An operation with its attributes, as a node keeps it.
///
/// Inputs that can have gradients come first; an operation's other tensors (masks, positions) follow them and have no edge.
package protocol Operation: Sendable {
  /// PyTorch's name of the node, `SumBackward1`.
  var nodeName: String { get }
  /// Whether inputs are broadcast to the result's shape and promoted to its dtype, which the tape then undoes.
  static var broadcasts: Bool { get }
  /// Whether what it keeps of its own are first its several outputs, in their order.
  static var keepsOutputs: Bool { get }
  /// What the names `saved_…` of scripts stand for, beside the attributes.
  var slotNames: KeyValuePairs<String, KeptSlot> { get }

  /// What the gradient of input `number` reads of the forward pass. It is kept only if that input has a gradient.
  func uses(_ number: Int) -> Uses
  /// Puts the inputs' gradients into the pass, those that it needs.
  func gradient(_ pass: inout Backward) throws
  /// The results for other values of the inputs, recorded like the first ones.
  func apply(_ inputs: [Tensor]) throws -> [Tensor]
  /// Whether the node shows one edge more, which leads nowhere: where a plain number took an input's place.
  var hasEmptyEdge: Bool { get }
  /// An attribute by its name in PyTorch, `dim`; nil where there is none of that name.
  func attribute(_ name: String) -> Any?
  /// Where a gradient can pass at all.
  var passage: Passage { get }
  /// How results get tangents in forward mode.
  var tangentRule: TangentRule { get }
  /// Multiplications that are added up, of matrix products and convolutions, in computing the gradients of the inputs that `wants`
  /// names: what they cost, beside which everything else is small. `node` is for what depends on the values that it keeps.
  func gradientWork(_ node: Node, _ wants: (Int) -> Bool) throws -> Int
  /// What the node of a kernel that does several operations' work stands for; nil where it stands for itself.
  func expanded(_ node: Node) throws -> Node?
}

/// Where gradients pass an operation.
package enum Passage: Sendable {
  case everywhere
  /// Nowhere: the derivative is 0.
  case nothing
  /// Where the output is positive.
  case wherePositive
}

extension Operation {
  package static var broadcasts: Bool { false }
  package static var keepsOutputs: Bool { false }
  package var slotNames: KeyValuePairs<String, KeptSlot> {
    ["self": .input(0), "other": .input(1), "result": .output]
  }
  @inline(__always)
  package func uses(_ number: Int) -> Uses { .nothing }
  package var tangentRule: TangentRule { .transposed }
  package func expanded(_ node: Node) throws -> Node? { nil }
  package func gradientWork(_ node: Node, _ wants: (Int) -> Bool) throws -> Int { 0 }
  @inline(__always)
  package var hasEmptyEdge: Bool { false }
  package var passage: Passage { .everywhere }

  /// Attributes are the stored properties, `startDim` for `start_dim`.
  package func attribute(_ name: String) -> Any? {
    var property = ""
    var isStart = false
    for letter in name {
      if letter != "_" { property += isStart ? letter.uppercased() : String(letter) }
      isStart = letter == "_"
    }
    return Mirror(reflecting: self).children.first { $0.label == property }?.value
  }
}

/// A node of an operation.
final class OperationNode<Recorded: Operation>: Node {
  let operation: Recorded

  @inline(__always)
  init(_ operation: Recorded, edges: consuming Edges) {
    self.operation = operation
    super.init(edges: edges)
  }

  /// For what a fused node stands for.
  init(_ operation: Recorded, replacing node: Node, edges: Edges) {
    self.operation = operation
    super.init(replacing: node, edges: edges)
  }

  override var name: String { operation.nodeName }
  override var data: any Operation { operation }

  override func run(_ pass: inout Backward) throws { try operation.gradient(&pass) }
}
