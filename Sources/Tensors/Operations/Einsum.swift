// Sums of products by Einstein's notation, `"ij,jk->ik"`: pairs of operands are contracted one after another, each as
// one batched matrix product.

extension Tensor {
  /// The sum of products that `equation` describes. One letter for each dimension of each operand, operands separated
  /// by commas; letters that the part behind `->` does not name are summed over. Without `->` the result has the
  /// letters that occur once, in alphabetical order. `...` stands for the dimensions of an operand that have no letters;
  /// those of several operands are broadcast, and come first in a result without `->`.
  public static func einsum(_ equation: String, _ operands: [Tensor]) throws -> Tensor {
    let (inputs, output) = try parse(equation, operands)
    var sizes: [Character: Int] = [:]
    for (labels, operand) in zip(inputs, operands) {
      for (label, size) in zip(labels, operand.shape.array) {
        let known = sizes[label] ?? size
        guard known == size || known == 1 || size == 1 else {
          let what = label.isLetter ? "'\(label)'" : "dimension -\(label) of '...'"
          throw TensorError(.shape, "einsum", "\(what) stands for sizes \(known) and \(size) in \"\(equation)\"")
        }
        sizes[label] = Swift.max(known, size)
      }
    }
    for label in output where sizes[label] == nil {
      throw TensorError(.argument, "einsum", "'\(label)' is in the result of \"\(equation)\" but in no operand")
    }
    var terms = try zip(inputs, operands).map { try Term($0, $1, sizes) }
    while terms.count > 1 {
      let right = terms.remove(at: 1)
      let needed = Set(output).union(terms.dropFirst().flatMap(\.labels))
      terms[0] = try terms[0].contracted(with: right, keeping: needed)
    }
    let last = try terms[0].summed(keeping: Set(output))
    return try last.tensor.permute(output.map { label in last.labels.firstIndex(of: label)! })
  }

  /// Bytes of an equation: those of a thousand operands are a tenth of it.
  private static let longest = 1 << 16

  private static func parse(_ equation: String, _ operands: [Tensor]) throws -> (inputs: [[Character]], output: [Character]) {
    guard equation.utf8.count <= longest else {
      throw TensorError(.argument, "einsum", "an equation of \(equation.utf8.count) bytes is longer than any of \(operands.count) operands")
    }
    let text = equation.filter { $0 != " " }
    let arrow = text.firstIndex(of: "-")
    if let arrow, !text[arrow...].hasPrefix("->") {
      throw TensorError(.argument, "einsum", "\"\(equation)\" has a '-' that does not begin '->'")
    }
    let left = arrow.map { text[..<$0] } ?? text[...]
    let parts = try left.split(separator: ",", omittingEmptySubsequences: false).map { try Subscripts($0, in: equation) }
    guard parts.count == operands.count else {
      throw TensorError(
        .argument, "einsum", "\"\(equation)\" names \(parts.count) operands, but \(operands.count) were given")
    }
    var inputs: [[Character]] = []
    var covered = 0
    for (position, (part, operand)) in zip(parts, operands).enumerated() {
      let rest = operand.rank - part.letters.count
      guard rest == 0 || (rest > 0 && part.hasEllipsis) else {
        throw TensorError(
          .shape, "einsum",
          "operand \(index: position) has shape \(operand.shape), but \"\(part.text)\" names \(part.letters.count) dimensions")
      }
      inputs.append(part.labels(covering: rest))
      covered = Swift.max(covered, rest)
    }
    guard let arrow else {
      let all = parts.flatMap(\.letters)
      let once = Set(all).filter { label in all.count { $0 == label } == 1 }.sorted()
      return (inputs, Subscripts.ellipsis(covered) + once)
    }
    let output = try Subscripts(text[arrow...].dropFirst(2), in: equation)
    guard Set(output.letters).count == output.letters.count else {
      throw TensorError(.argument, "einsum", "the result of \"\(equation)\" must name different letters")
    }
    return (inputs, output.labels(covering: covered))
  }

  /// The letters of one operand or of the result, with "..." once among them or not at all.
  private struct Subscripts {
    let text: Substring
    private let before: [Character]
    private let after: [Character]?

    init(_ text: Substring, in equation: String) throws {
      let pieces = text.split(separator: "...", omittingEmptySubsequences: false)
      let wrong = pieces.count > 2 ? "." : pieces.joined().first { !$0.isLetter }
      if let wrong {
        throw TensorError(
          .argument, "einsum",
          "'\(wrong)' in \"\(equation)\" is neither a letter nor part of the one '...' that each operand and the result may have")
      }
      self.text = text
      before = Array(pieces[0])
      after = pieces.count == 2 ? Array(pieces[1]) : nil
    }

    var letters: [Character] { before + (after ?? []) }
    var hasEllipsis: Bool { after != nil }

    /// One for each dimension, where "..." stands for `count` of them.
    func labels(covering count: Int) -> [Character] {
      guard let after else { return before }
      return before + Subscripts.ellipsis(count) + after
    }

    /// Digits stand for the dimensions that "..." covers, 1 for the last, since those of operands are aligned at their ends.
    static func ellipsis(_ count: Int) -> [Character] { (0..<count).reversed().map { Character("\($0 + 1)") } }
  }

  /// A tensor and the letters of its dimensions, all different.
  private struct Term {
    let labels: [Character]
    let tensor: Tensor

    init(labels: [Character], tensor: Tensor) {
      self.labels = labels
      self.tensor = tensor
    }

    /// Repeated letters mean the diagonal; sizes of 1 stretch.
    init(_ labels: [Character], _ tensor: Tensor, _ sizes: [Character: Int]) throws {
      var labels = labels
      var tensor = tensor
      while let repeated = labels.first(where: { label in labels.count { $0 == label } > 1 }) {
        let first = labels.firstIndex(of: repeated)!
        let second = labels[(first + 1)...].firstIndex(of: repeated)!
        guard tensor.shape[first] == tensor.shape[second] else {
          throw TensorError(
            .shape, "einsum",
            "'\(repeated)' is repeated for one operand, but its sizes are \(tensor.shape[first]) and \(tensor.shape[second])")
        }
        tensor = try tensor.diagonal(0, first, second)
        labels.remove(at: second)
        labels.remove(at: first)
        labels.append(repeated)
      }
      self.labels = labels
      self.tensor = try tensor.expand(Shape(labels.map { sizes[$0] ?? 1 }))
    }

    func summed(keeping needed: Set<Character>) throws -> Term {
      let gone = labels.indices.filter { !needed.contains(labels[$0]) }
      if gone.isEmpty { return self }
      return Term(labels: labels.filter(needed.contains), tensor: try tensor.sum(gone))
    }

    /// Sizes of the letters, and the tensor with its dimensions in their order, as a matrix batch `(b, m, n)`.
    private func arranged(_ groups: [[Character]]) throws -> Tensor {
      let order = groups.flatMap { $0 }.map { label in labels.firstIndex(of: label)! }
      return try tensor.permute(order).reshape(groups.map { $0.reduce(1) { $0 * size(of: $1) } })
    }

    func size(of label: Character) -> Int { labels.firstIndex(of: label).map { tensor.shape[$0] } ?? 1 }

    /// The product with another term, summed over the letters that nobody needs any more.
    func contracted(with other: Term, keeping needed: Set<Character>) throws -> Term {
      let left = try summed(keeping: needed.union(other.labels))
      let right = try other.summed(keeping: needed.union(labels))
      let shared = left.labels.filter(right.labels.contains)
      let batch = shared.filter(needed.contains)
      let summed = shared.filter { !needed.contains($0) }
      let rows = left.labels.filter { !shared.contains($0) }
      let columns = right.labels.filter { !shared.contains($0) }
      let product = try left.arranged([batch, rows, summed]).bmm(right.arranged([batch, summed, columns]))
      let labels = batch + rows + columns
      let sizes = labels.map { left.labels.contains($0) ? left.size(of: $0) : right.size(of: $0) }
      return Term(labels: labels, tensor: try product.reshape(sizes))
    }
  }
}

enum Einsum {
  static let list: [TensorOperation] = [
    TensorOperation(
      "einsum", "The sum of products that Einstein's notation describes, \"ij,jk->ik\".", Take.text("equation"), Take.tensors("operands"),
      forms: .function,
      samples: [
        [.text("ij,jk->ik"), .tensors([.float(2, 3), .float(3, 4)])], [.text("ij->ji"), .tensors([.float(2, 3)])],
        [.text("ii->i"), .tensors([.float(3, 3)])], [.text("ij,j"), .tensors([.float(2, 3), .float(3)])],
        [.text("bij,bjk->bik"), .tensors([.float(2, 2, 3), .float(2, 3, 2)])], [.text("i,j->ij"), .tensors([.float(2), .float(3)])],
        [.text("ij,jk,kl->il"), .tensors([.float(2, 3), .float(3, 2), .float(2, 2)])], [.text("ij->"), .tensors([.float(2, 3)])],
        [.text("...ij,...jk->...ik"), .tensors([.float(2, 1, 2, 3), .float(2, 3, 2)])],
        [.text("b...i,i"), .tensors([.float(2, 3, 2), .float(2)])], [.text("...i->i"), .tensors([.float(2, 2, 3)])],
        [.text("...ii->i..."), .tensors([.float(2, 3, 3)])], [.text("i...,...->i..."), .tensors([.float(2, 3), .float()])],
        [.text("...i,...j"), .tensors([.float(2, 3), .float(2, 2)])], [.text("ij->...j"), .tensors([.float(2, 3)])],
      ],
      rejects: [
        [.text("ij,jk->ik"), .tensors([.float(2, 3), .float(2, 4)])], [.text("ij->k"), .tensors([.float(2, 3)])],
        [.text("ii"), .tensors([.float(1, 3)])], [.text("1i->i"), .tensors([.float(2, 3)])],
        [.text("i..j->ij"), .tensors([.float(2, 3)])], [.text("...i...->i"), .tensors([.float(2, 3)])],
        [.text("...ijk->i"), .tensors([.float(2, 3)])], [.text("...i->......"), .tensors([.float(2, 3)])],
        [.text("...i,...i->..."), .tensors([.float(2, 3), .float(4, 3)])],
      ], batching: .equation
    ) { equation, operands in try .tensor(Tensor.einsum(equation, operands)) }
  ]
}
