// Tensors written down: `let x: Tensor = [[1, 2], [3, 4]]`, and nested lists that a program has.

/// Tensors of literals. All numbers whole make an int64 tensor, as in Lua and PyTorch, a fraction among them one of the default float
/// dtype, and `true` and `false` a bool one.
///
/// ```swift
/// let x: Tensor = [[1.0, 2], [3, 4]]
/// let y = try x.matmul([[0.5], [1]])
/// ```
///
/// A literal is part of the program, and cannot throw: one whose rows differ in length, or that mixes numbers and rows, stops the program.
/// Of data, a tensor is made by ``Tensor/init(nested:)``. Single numbers are no literals of tensors: in `x * 2` the 2 is a number, which
/// never changes the dtype.
extension Tensor: ExpressibleByArrayLiteral {
  /// A number or a row of a literal.
  public enum Literal: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral {
    /// A number.
    case number(Scalar)
    /// Numbers, or rows, side by side.
    case row([Literal])
    /// A whole number.
    public init(integerLiteral value: Int64) { self = .number(.integer(value)) }
    /// A fraction.
    public init(floatLiteral value: Double) { self = .number(.real(value)) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .number(.boolean(value)) }
    /// A row.
    public init(arrayLiteral elements: Literal...) { self = .row(elements) }
  }

  /// A tensor of rows or of numbers, on the current context's account. Stops the program where the rows differ in length.
  public convenience init(arrayLiteral rows: Literal...) {
    var (sizes, numbers): ([Int], [Scalar]) = ([], [])
    Tensor.collect(.row(rows), 0, &sizes, &numbers)
    let kind = numbers.map(\.category).max() ?? .floating
    let dtype: DType = kind == .floating ? .defaultFloating : kind == .integer ? .int64 : .bool
    do {
      try self.init(uninitialized: Shape(sizes), dtype)
    } catch {
      preconditionFailure("a tensor's literal: \(error)")
    }
    for (place, number) in numbers.enumerated() { setElement(place, number) }
  }

  private static func collect(_ literal: Literal, _ depth: Int, _ sizes: inout [Int], _ numbers: inout [Scalar]) {
    switch literal {
    case .number(let number):
      precondition(depth == sizes.count, "a tensor's literal mixes numbers and rows")
      numbers.append(number)
    case .row(let elements):
      precondition(depth <= sizes.count && (depth == sizes.count ? numbers.isEmpty : true), "a tensor's literal mixes numbers and rows")
      if depth == sizes.count { sizes.append(elements.count) }
      precondition(elements.count == sizes[depth], "the rows of a tensor's literal have \(sizes[depth]) and \(elements.count) elements")
      for element in elements { collect(element, depth + 1, &sizes, &numbers) }
    }
  }
}

/// Nested arrays of numbers: `[[Float]]`, `[[[Int]]]`.
public protocol NestedElements {
  /// What is innermost.
  associatedtype Innermost: TensorElement
  /// How deep it is nested.
  static var depth: Int { get }
  /// Puts the elements in row-major order, and the sizes where they are not known yet; throws where these differ.
  func collect(_ level: Int, _ sizes: inout [Int], _ elements: inout [Innermost]) throws
}

extension Array: NestedElements where Element: NestedElements {
  /// What is innermost in the elements.
  public typealias Innermost = Element.Innermost
  /// One deeper than the elements.
  public static var depth: Int { 1 + Element.depth }

  /// Puts the elements of all rows one after the other. Throws where rows differ in length.
  public func collect(_ level: Int, _ sizes: inout [Int], _ elements: inout [Innermost]) throws {
    if level == sizes.count { sizes.append(count) }
    guard count == sizes[level] else {
      throw TensorError(.shape, "tensor", "a row has \(count) elements, where the first of its dimension has \(sizes[level])")
    }
    for element in self { try element.collect(level + 1, &sizes, &elements) }
  }
}

extension NestedElements where Self: TensorElement, Innermost == Self {
  /// 0: a number has nothing within it.
  public static var depth: Int { 0 }
  /// Puts the number itself.
  public func collect(_ level: Int, _ sizes: inout [Int], _ elements: inout [Self]) throws { elements.append(self) }
}

extension Float: NestedElements { public typealias Innermost = Float }
extension Double: NestedElements { public typealias Innermost = Double }
extension Int: NestedElements { public typealias Innermost = Int }
extension Int64: NestedElements { public typealias Innermost = Int64 }
extension Int32: NestedElements { public typealias Innermost = Int32 }
extension Int16: NestedElements { public typealias Innermost = Int16 }
extension Int8: NestedElements { public typealias Innermost = Int8 }
extension UInt8: NestedElements { public typealias Innermost = UInt8 }
extension Float16: NestedElements { public typealias Innermost = Float16 }

extension Tensor {
  /// A tensor of nested arrays, of their elements' dtype. Throws where rows differ in length.
  public convenience init<Nested: NestedElements>(nested rows: [Nested]) throws {
    var (sizes, elements): ([Int], [Nested.Innermost]) = ([], [])
    try rows.collect(0, &sizes, &elements)
    // Where a dimension is empty, nothing tells the sizes of those inside.
    while sizes.count < [Nested].depth { sizes.append(0) }
    try self.init(elements, shape: Shape(sizes))
  }
}
