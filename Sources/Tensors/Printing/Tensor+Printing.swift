// A tensor's printed form, PyTorch's to the character (the rules are in Printing/Formatter.swift).

extension Tensor: CustomStringConvertible {
  /// As PyTorch prints it, `tensor([1., 2.], requires_grad=True)`; parameters say so in a line of their own.
  public var description: String { text() }

  package func text(_ options: PrintOptions = .current) -> String {
    let elements: PrintedElements
    switch dtype.category {
    case .floating: elements = .real { self.element($0).real }
    case .boolean: elements = .boolean { self.element($0) == .boolean(true) }
    case .integer: elements = .integer { self.element($0).integer }
    }
    var suffixes: [String] = []
    if let node = gradNode {
      suffixes.append("grad_fn=<\(node.name)>")
    } else if flags.contains(.requiresGrad) {
      suffixes.append("requires_grad=True")
    }
    if let tangent = (try? tangents)?.last?.tensor { suffixes.append("tangent=\(tangent.text(options))") }
    let text = tensorText(
      elements, shape: shape.array, dtype: dtype.description, defaultDType: DType.defaultFloating.description,
      suffixes: suffixes, options: options)
    return isParameter ? "Parameter containing:\n" + text : text
  }
}
