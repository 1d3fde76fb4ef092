// The only element of a tensor as a number of Swift's: `let loss = try Double(net(x).mean())`.

extension Double {
  /// The only element. Throws for tensors of several.
  public init(_ tensor: Tensor) throws { self = try tensor.item().real }
}

extension Float {
  /// The only element, rounded. Throws for tensors of several.
  public init(_ tensor: Tensor) throws { self = try Float(tensor.item().real) }
}

extension Int {
  /// The only element. Throws for tensors of several, and where it is no whole number.
  public init(_ tensor: Tensor) throws {
    switch try tensor.item() {
    case .integer(let number): self = Int(number)
    case .boolean(let flag): self = flag ? 1 : 0
    case .real(let number):
      guard let whole = Int(exactly: number) else { throw TensorError(.domain, "Int", "\(number) is no whole number") }
      self = whole
    }
  }
}

extension Bool {
  /// Whether the only element is not 0. Throws for tensors of several.
  public init(_ tensor: Tensor) throws { self = try tensor.item().real != 0 }
}
