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
    let packed: Int
  }

  static let all: [String: Graph] = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/graphs.jsonl")
    var found: [String: Graph] = [:]
    for line in ((try? String(contentsOf: file, encoding: .utf8)) ?? "").split(separator: "\n") where line.first == "{" {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let key = object["key"] as? String, let outputs = object["outputs"] as? [Any], let packed = object["packed"] as? Int
      else { continue }
      found[key] = Graph(outputs: outputs.map(Tree.init), packed: packed)
    }
    return found
  }()

  /// Where our graph is another: one operation of ours does what PyTorch composes (softsign), or the other way round; einsum
  /// arranges its products differently; weights of losses have gradients here, and so edges.
  private static let others: Set = [
    "einsum", "softsign", "floor_divide", "binary_cross_entropy", "binary_cross_entropy_with_logits",
  ]

  /// Samples of which that is so.
  private func isOther(_ example: Example) -> Bool {
    let takesNumber = ["maximum", "minimum", "atan2", "hypot"].contains(example.operation.name) && example.text.hasSuffix(", 1.5)")
    let isDeep = ["cross_entropy", "nll_loss"].contains(example.operation.name) && example.text.contains("[2, 3, 4]")
    let isComposed = example.operation.name == "cross_entropy" && (example.text.contains("mean, 0.1") || example.text.contains(", [4, 3]"))
    let isVectorByBatch = example.operation.name == "matmul" && example.text.hasSuffix("[3] in -2.0...2.0, [2, 3, 2] in -2.0...2.0)")
    return GraphTests.others.contains(example.operation.name) || takesNumber || isDeep || isComposed || isVectorByBatch
  }

  /// Where less is kept than PyTorch keeps: a result or a sum that the formula computes anew or needs no more.
  private static let keepingLess: Set = [
    "cross_entropy", "nll_loss", "cumprod", "prod", "gather", "index_add", "isclose", "isfinite", "logsigmoid", "masked_select",
    "softsign", "maximum", "minimum", "atan2", "pow",
  ]

  @Test(arguments: Catalogue.operations) func trees(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let expected = try #require(GraphTests.all[example.text], "\(example.text) is not in the fixture; run scripts/fixtures/make")
      if isOther(example) { continue }
      let call = try example.call(requiringGrad: { !example.constants.contains($0) })
      let outputs = try call.outputs()
      let found = try outputs.map { try Tree($0.gradNode, Int($0.outputIndex), call.inputs) }
      for (position, tree) in found.enumerated() where position < expected.outputs.count {
        let wanted = expected.outputs[position]
        #expect(tree == wanted, "\(example.text): \(tree?.description ?? "-"), not \(wanted?.description ?? "-")")
        // Looked at again, it is the same nodes.
        if let node = outputs[position].gradNode {
          #expect(try zip(node.nextFunctions(), node.nextFunctions()).allSatisfy { $0.node === $1.node })
        }
      }
    }
  }

  @Test(arguments: Catalogue.operations) func keptValues(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let expected = try #require(GraphTests.all[example.text], "\(example.text) is not in the fixture; run scripts/fixtures/make")
      let call = try example.call(requiringGrad: { !example.constants.contains($0) })
      var packed = 0
      let hooks = SavedTensorHooks { tensor in
        packed += 1
        return { tensor }
      }
      let modes = GradMode.bits
      GradMode.bits = hooks.inForce(modes)
      let outputs = try call.outputs()
      GradMode.bits = modes
      if GraphTests.keepingLess.contains(operation.name) {
        #expect(packed <= expected.packed, "\(example.text)")
      } else if operation.name != "einsum" {
        #expect(packed == expected.packed, "\(example.text)")
      }
      withExtendedLifetime((hooks, outputs)) {}
    }
  }
}
