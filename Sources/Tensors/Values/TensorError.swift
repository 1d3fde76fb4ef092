// The one error of the tensor column: a kind and a sentence with the facts.

/// What went wrong, as one sentence: operation, argument, expected, found.
public struct TensorError: Error, CustomStringConvertible {
  /// What sort of thing is wrong.
  public enum Kind: Sendable {
    /// Sizes that do not fit, or do not fit each other.
    case shape
    /// A dtype that the operation is not defined for.
    case dtype
    /// A dimension, position or label out of range.
    case index
    /// Any other argument that is not possible.
    case argument
    /// Something that the graph does not allow.
    case autograd
    /// More bytes than there are, or than the limit leaves.
    case memory
    /// It was stopped before its end.
    case interrupted
    /// A value outside of what the operation is defined for: whole-number division by zero, a probability of 2.
    case domain
  }

  /// What sort of thing is wrong; the facts are in the message.
  public let kind: Kind
  /// The operation's name as its users know it, `matmul`.
  public let operation: String
  package let facts: Facts
  /// Where in a model of modules it happened; nil outside of modules.
  package var place: Place?

  /// A module in a model.
  package struct Place: Sendable {
    /// Tells the module apart.
    package let module: Int
    /// Its name in the outermost module that is known to have been called, `encoder.0`; empty for that itself.
    package var path: String
    /// For what is no one module's fault.
    package static let nowhere = Place(module: 0)
    package init(module: Int, path: String = "") {
      self.module = module
      self.path = path
    }
  }

  /// `operation` opens the message, unless it is empty; the facts are the rest of the sentence.
  public init(_ kind: Kind, _ operation: String, _ facts: Facts) {
    self.kind = kind
    self.operation = operation
    self.facts = facts
  }

  /// The sentence for readers who count from `base`: dimensions and indices in it are shifted by it.
  public func message(indexBase base: Int) -> String {
    let text = facts.render(base)
    let path = place?.path ?? ""
    if operation.isEmpty { return path.isEmpty ? text : "\(path): \(text)" }
    return path.isEmpty ? "\(operation): \(text)" : "\(operation) (\(path)): \(text)"
  }

  /// The sentence, with dimensions and indices from 0.
  public var description: String { message(indexBase: 0) }

  /// A sentence in which dimensions and indices stay numbers, `"dimension \(index: d) is out of range"`, so that
  /// Swift shows them from 0 and Lua from 1 and no message is written twice.
  public struct Facts: ExpressibleByStringInterpolation, Sendable {
    enum Part: Sendable { case text(String), index(Int) }
    var parts: [Part]

    /// A text as it is.
    public init(stringLiteral value: String) { parts = [.text(value)] }
    /// A text as it is, without numbers that are shifted.
    public init(_ text: String) { parts = [.text(text)] }
    /// The text's parts.
    public init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

    /// Collects the parts of a sentence.
    public struct StringInterpolation: StringInterpolationProtocol {
      var parts: [Part] = []
      /// No parts yet.
      public init(literalCapacity: Int, interpolationCount: Int) {}
      /// Text between values.
      public mutating func appendLiteral(_ literal: String) { parts.append(.text(literal)) }
      /// Any value, as Swift prints it.
      public mutating func appendInterpolation<T>(_ value: T) { parts.append(.text("\(value)")) }
      /// A dimension or index counted from 0, shown from the reader's base; a negative one is shown as it is.
      public mutating func appendInterpolation(index value: Int) { parts.append(.index(value)) }
      /// The indices of an element, `[0, 2]`, in the same way; nothing for that of a tensor without dimensions.
      public mutating func appendInterpolation(at indices: [Int]) {
        for (place, index) in indices.enumerated() { parts += [.text(place == 0 ? " at [" : ", "), .index(index)] }
        if !indices.isEmpty { parts.append(.text("]")) }
      }
    }

    func followed(by text: String) -> Facts {
      var facts = self
      facts.parts.append(.text(text))
      return facts
    }

    func render(_ base: Int) -> String {
      parts.map { part in
        switch part {
        case .text(let text): text
        case .index(let value): String(value < 0 ? value : value + base)
        }
      }.joined()
    }
  }
}
