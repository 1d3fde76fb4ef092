// The graph that is shown is PyTorch's: node by node, down to the leaves, for fused operations too; and what is kept for
// backward is as much.

import Foundation
import Tensors
import Testing

@Suite struct GraphTests {
  /// A node with what it feeds; nil where that is nothing.
  indirect enum Tree: Equatable, CustomStringConvertible {
    case node(String, Int, [Tree?])
    case leaf(Int)

    var description: String {
      switch self {
      case .leaf(let number): "x\(number)"
      case .node(let name, let output, let next):
        name.replacing("Backward", with: "") + (output == 0 ? "" : ".\(output)")
          + "(\(next.map { $0?.description ?? "-" }.joined(separator: ", ")))"
      }
    }

    init?(_ json: Any) {
      guard let list = json as? [Any], list.count == 3, let name = list[0] as? String, let output = list[1] as? Int else { return nil }
      if let leaf = list[2] as? Int {
        self = .leaf(leaf)
      } else {
        self = .node(name, output, (list[2] as? [Any] ?? []).map(Tree.init))
      }
    }

    init?(_ node: Node?, _ output: Int, _ inputs: [Tensor]) throws {
      guard let node else { return nil }
      if let leaf = node.variable {
        self = .leaf(inputs.firstIndex { $0 === leaf } ?? -1)
      } else {
        self = .node(node.name, output, try node.nextFunctions().map { try Tree($0.node, $0.index, inputs) })
      }
    }
  }

  struct Graph {
    let outputs: [Tree?]
    /// The shapes of the tensors that are kept.
    let packed: [[Int]]
    /// By name of a node, what it keeps: `_saved_self` and so on.
    let saved: [String: [String]]
  }

  static let all: [String: Graph] = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/graphs.jsonl")
    var found: [String: Graph] = [:]
    for line in ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n") where line.first == "{" {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let key = object["key"] as? String, let outputs = object["outputs"] as? [Any], let packed = object["packed"] as? [[Int]],
        let saved = object["saved"] as? [String: [String]]
      else { continue }
      found[key] = Graph(outputs: outputs.map(Tree.init), packed: packed, saved: saved)
    }
    return found
  }()

  /// Where our graph is another, be it in one sample only.
  private func isOther(_ example: Example) -> Bool? {
    // A formula of other operations shows those, whether PyTorch has a node for it or the same formula.
    if example.operation.isComposed { return nil }
    return listsOther(example)
  }

  private func listsOther(_ example: Example) -> Bool {
    switch example.operation.name {
    // One operation of ours does what PyTorch composes, or the other way round; products are arranged differently.
    case "einsum", "softsign", "floor_divide": true
    // PyTorch makes a tensor of a number.
    case "maximum", "minimum", "atan2", "hypot": example.text.hasSuffix(", 1.5)")
    // Labels for each of several positions; PyTorch has another operation for them. Smoothing, and probabilities for labels.
    case "cross_entropy", "nll_loss":
      example.text.contains("[2, 3, 4]") || example.text.contains("mean, 0.1") || example.text.contains(", [4, 3]")
    // Weights of losses have gradients here, and so edges.
    case "binary_cross_entropy", "binary_cross_entropy_with_logits": !example.constants.isEmpty
    case "matmul": example.text.hasSuffix("[3] in -2.0...2.0, [2, 3, 2] in -2.0...2.0)")
    default: false
    }
  }

  /// Nodes, edges and leaves are PyTorch's, or it is said above why not, and they are not.
  @Test(arguments: Catalogue.operations) func trees(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let expected = try #require(GraphTests.all[example.text], "\(example.text) is not in the fixture; run scripts/fixtures/make")
      let call = try example.call(requiringGrad: { !example.constants.contains($0) })
      let outputs = try call.outputs()
      let found = try outputs.map { try Tree($0.gradNode, Int($0.outputIndex), call.inputs) }
      let compared = min(found.count, expected.outputs.count)
      guard let isOther = isOther(example) else { continue }
      if isOther {
        #expect(Array(found[..<compared]) != Array(expected.outputs[..<compared]), "\(example.text) is listed, but is PyTorch's")
        continue
      }
      for (position, tree) in found[..<compared].enumerated() {
        let wanted = expected.outputs[position]
        #expect(tree == wanted, "\(example.text): \(tree?.description ?? "-"), not \(wanted?.description ?? "-")")
        // Looked at again, it is the same nodes.
        if let node = outputs[position].gradNode {
          #expect(try zip(node.nextFunctions(), node.nextFunctions()).allSatisfy { $0.node === $1.node })
        }
      }
    }
  }

  /// Where less is kept than PyTorch keeps: a result or a sum that the formula computes anew or needs no more.
  private func keepsLess(_ example: Example) -> Bool {
    switch example.operation.name {
    case "cross_entropy": !example.text.contains(", [4, 3]")
    case "div": example.text.hasSuffix("[3] in 0.2...3.0, floor)")
    // Factors and vectors that the formulas need not.
    case "linalg.solve", "linalg.det", "linalg.slogdet", "linalg.matrix_rank": true
    case "nll_loss", "cummax", "cummin", "cumprod", "gather", "index_add", "isclose", "logsigmoid", "masked_select", "softsign": true
    case "prod", "isfinite": !example.text.contains("whole")
    // The number, of which PyTorch makes a tensor.
    case "maximum", "minimum", "atan2": example.text.hasSuffix(", 1.5)")
    case "pow": example.text.hasSuffix(", 0.0)")
    default: false
    }
  }

  /// Operations of which some samples keep as many tensors, but in other shapes: matrices before they are turned or flattened.
  private static let shapedOtherwise: Set = ["linear", "matmul", "einsum"]

  @Test(arguments: Catalogue.operations) func keptValues(_ operation: TensorOperation) throws {
    var isShapedOtherwise = false
    for example in operation.examples where !operation.isComposed {
      let expected = try #require(GraphTests.all[example.text], "\(example.text) is not in the fixture; run scripts/fixtures/make")
      let call = try example.call(requiringGrad: { !example.constants.contains($0) })
      var packed: [[Int]] = []
      let hooks = SavedTensorHooks { tensor in
        packed.append(tensor.shape.array)
        return { tensor }
      }
      let modes = GradMode.bits
      GradMode.bits = hooks.inForce(modes)
      let outputs = try call.outputs()
      GradMode.bits = modes
      if keepsLess(example) {
        #expect(packed.count < expected.packed.count, "\(example.text) is listed, but keeps as much as PyTorch")
      } else if packed.sorted(by: isBefore) != expected.packed.sorted(by: isBefore) {
        isShapedOtherwise = true
        #expect(packed.count == expected.packed.count, "\(example.text) keeps \(packed), not \(expected.packed)")
        #expect(GraphTests.shapedOtherwise.contains(operation.name), "\(example.text) keeps \(packed), not \(expected.packed)")
      }
      withExtendedLifetime((hooks, outputs)) {}
    }
    #expect(isShapedOtherwise == GraphTests.shapedOtherwise.contains(operation.name), "\(operation.name) is listed, but does as PyTorch")
  }

  private func isBefore(_ a: [Int], _ b: [Int]) -> Bool { a.lexicographicallyPrecedes(b) }

  /// What PyTorch's nodes keep and ours do not, or have no name for.
  private static let unnamed: [String: Set<String>] = [
    // What the formula is simpler without, or where PyTorch's adds a multiple and ours adds.
    "AddBackward0": ["alpha"], "SubBackward0": ["alpha"],
    "GatherBackward0": ["self", "sparse_grad"], "IndexAddBackward0": ["source", "source_dim"], "MaskedSelectBackward0": ["mask", "self"],
    "NllLossBackward0": ["self", "total_weight"], "LogSigmoidBackward0": ["buffer"],
    "CummaxBackward0": ["self"], "CumminBackward0": ["self"], "NansumBackward0": ["dim", "keepdim"],
    "EluBackward0": ["scale", "input_scale"], "LinalgSolveExBackward0": ["LU", "pivots"], "LinalgDetBackward0": ["LU", "pivots"],
    "LinalgSlogdetBackward0": ["LU", "pivots", "sign"], "LinalgLuBackward0": ["pivot"],
    "SplitBackward0": ["split_size"], "SqueezeBackward4": ["dim"],
    // What is kept under another name, or in a part of the operation.
    "HardtanhBackward0": ["min_val", "max_val"], "PowBackward0": ["exponent"], "PowBackward1": ["exponent"],
    "DiagEmbedBackward0": ["dim1", "dim2"], "DiagonalBackward0_copy": ["dim1", "dim2"],
  ]

  /// What a node keeps has PyTorch's name, so that scripts read it by that: `saved_self`, `saved_dim`. But for sizes and
  /// strides, which tensors have.
  @Test func keptNames() throws {
    var found: [String: Set<String>] = [:]
    var named = 0
    for example in Catalogue.operations.flatMap(\.examples) where isOther(example) == false {
      let expected = try #require(GraphTests.all[example.text])
      let outputs = try example.call(requiringGrad: { !example.constants.contains($0) }).outputs()
      var seen: [Node] = []
      func look(_ node: Node?) throws {
        guard let node, node.variable == nil, !seen.contains(where: { $0 === node }) else { return }
        seen.append(node)
        for name in expected.saved[node.name] ?? [] where !name.contains("_sym_") {
          let own = String(name.dropFirst("_saved_".count))
          if (try? node.saved(named: own)) != nil { named += 1 } else { found[node.name, default: []].insert(own) }
        }
        for next in try node.nextFunctions() { try look(next.node) }
      }
      for output in outputs { try look(output.gradNode) }
    }
    #expect(named > 500)
    for name in Set(found.keys).union(GraphTests.unnamed.keys).sorted() {
      #expect(found[name] == GraphTests.unnamed[name], "\(name)")
    }
  }
}
