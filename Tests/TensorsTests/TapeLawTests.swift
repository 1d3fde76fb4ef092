// The laws of what nodes keep: a graph alone can be computed again with other values, and nothing that a formula reads can
// change unnoticed.

import Tensors
import Testing

@Suite struct TapeLawTests {
  /// A graph computed again with other values of its leaves gives, bit for bit, what calling the operation again gives; and
  /// so do the gradients from there. Once with every float input a leaf, once with each alone, the others being constants.
  @Test(arguments: Catalogue.operations) func replay(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let count = try example.call().inputs.count
      for chosen in [nil] + (count > 1 ? (0..<count).map { Optional($0) } : []) {
        for dtype in [DType.float32, .float64] {
          let path = "\(example.text) in \(dtype)" + (chosen.map { ", input \($0) alone" } ?? "")
          let first = try Replay.recording { () throws -> (call: Call, outputs: [Tensor]) in
            let call = try example.call(dtype, requiringGrad: { chosen == nil || $0 == chosen })
            return (call, try call.outputs())
          }
          let roots = first.outputs.filter { $0.requiresGrad && !$0.isLeaf }
          guard !roots.isEmpty else { continue }
          let replay = try Replay(roots)
          // Other values: the old ones in another order, which are in the operation's domain too.
          let replaced = try replay.leaves.map { leaf in (leaf, try leaf.reversed()) }
          let found = try replay.run(replaced.map(\.1))
          let again = try first.call.mapped { tensor in
            guard let (_, value) = replaced.first(where: { $0.0 === tensor }) else { return tensor }
            let copy = try value.detach().clone()
            try copy.setRequiresGrad(true)
            return copy
          }
          let expected = try again.outputs().filter { $0.requiresGrad && !$0.isLeaf }
          try #require(found.count == expected.count, "\(path)")
          for (a, b) in zip(found, expected) { #expect(a.bits == b.bits, "\(path): \(a.doubles), not \(b.doubles)") }
          let seeds = try found.map { try $0.cosineWeights() }
          let gradients = try Tape.gradients(of: found, seeds, inputs: replaced.map(\.1))
          let leaves = again.inputs.filter(\.requiresGrad)
          let wanted = try Tape.gradients(of: expected, seeds, inputs: leaves)
          for (position, (leaf, _)) in replaced.enumerated() {
            let number = try #require(first.call.inputs.filter(\.requiresGrad).firstIndex { $0 === leaf }, "\(path)")
            #expect(gradients[position]?.bits == wanted[number]?.bits, "\(path), gradient of leaf \(position)")
          }
        }
      }
    }
  }

  /// A way to write to a tensor between forward and backward.
  enum Write: CaseIterable {
    case add, copy, fill, index, data

    /// False where it cannot be done to such a tensor, which is then as it was.
    func perform(on tensor: Tensor) throws -> Bool {
      let other = try tensor.dtype == .bool ? tensor.logicalNot() : Binary.add(tensor.detach(), .integer(1)).to(tensor.dtype)
      do {
        try withNoGrad {
          switch self {
          case .add:
            if tensor.dtype == .bool { try tensor.copy(from: other) } else { try Binary.add.inPlace(tensor, .integer(1)) }
          case .copy: try tensor.copy(from: other)
          case .fill: try tensor.fill(.integer(1))
          case .index: if tensor.rank > 0 { try tensor.setIndex([.position(0)], other.select(0, 0)) }
          case .data: try tensor.setData(other)
          }
        }
      } catch let error as TensorError {
        // Results whose elements share memory are not written to.
        #expect("\(error)".contains("cannot write into an expanded tensor"))
        return false
      }
      return self != .index || tensor.rank > 0
    }

    /// Whether a write of this kind to `tensor` changes what one of the nodes keeps.
    func spoils(_ tensor: Tensor, keptBy nodes: [Node]) throws -> Bool {
      try nodes.contains { node in
        try node.keptSlots.contains { slot in
          guard let kept = try node.keptValue(slot) else { return false }
          // `.data =` gives the tensor other elements, and leaves the old ones to whoever else holds them.
          return self == .data ? kept === tensor : kept.storage === tensor.storage
        }
      }
    }
  }

  /// Whatever tensor of a call, argument or result, is written to between forward and backward: backward raises where a node
  /// keeps it, and else its gradients are those of what was computed.
  @Test(arguments: Catalogue.operations) func spoilt(_ operation: TensorOperation) throws {
    var (written, refused): ([Write: Int], [Write: Int]) = ([:], [:])
    var isRecorded = false
    var kept: Set<Write> = []
    for example in operation.examples {
      let plain = try example.call()
      let outputs = try plain.outputs()
      let expected = try plain.gradients(of: outputs, by: plain.inputs)
      for number in 0..<(plain.arguments.tensors.count + outputs.count) {
        for write in Write.allCases {
          let call = try example.call()
          let results = try call.outputs()
          let tensors = call.arguments.tensors + results
          let seeded = results.filter(\.requiresGrad)
          guard tensors[number].count > 0, !seeded.isEmpty else { continue }
          isRecorded = true
          let seeds = try seeded.map { try $0.cosineWeights() }
          let nodes = seeded.flatMap(\.nodes)
          let isSpoilt = try write.spoils(tensors[number], keptBy: nodes)
          // A view, or the tensor itself, is written to as such.
          guard try write.perform(on: tensors[number]) else { continue }
          written[write, default: 0] += 1
          if isSpoilt { kept.insert(write) }
          let path = "\(example.text), tensor \(number) written to by \(write)"
          do {
            let found = try Tape.gradients(of: seeded, seeds, inputs: call.inputs)
            #expect(!isSpoilt, "\(path): what is kept is another, and nothing was raised")
            for (position, gradient) in found.enumerated() {
              expectEqual(gradient, expected[position], within: 1e-12, "\(path), gradient of input \(position)")
            }
          } catch let error as TensorError {
            let says = write == .data ? "were replaced since the forward pass" : "was modified by an in-place operation"
            #expect(isSpoilt && error.kind == .autograd && "\(error)".contains(says), "\(path): \(error)")
            refused[write, default: 0] += 1
          }
        }
      }
    }
    for write in Write.allCases {
      #expect((written[write] ?? 0 > 0) == isRecorded, "\(write): \(written[write] ?? 0) writes")
      // Only an argument can be kept as the object that it is: a node that held its result would be a cycle.
      if write == .data { continue }
      #expect((refused[write] ?? 0 > 0) == kept.contains(write), "\(write): \(refused[write] ?? 0) of \(written[write] ?? 0) refused")
    }
  }

  /// Operations whose formulas look at positions or labels of the call itself; others keep none, or a copy of their own.
  private static let looksAgain: Set = [
    "max", "min", "cummax", "cummin", "sort", "topk", "kthvalue", "median", "nanmedian", "mode", "cross_entropy", "nll_loss",
    "multi_margin_loss", "multilabel_margin_loss", "embedding", "embedding_bag",
  ]

  /// Writes by way of `.data` are not counted, so that positions and labels can be others at backward than they were when the
  /// operation looked at them. It looks again: what lies outside is refused, and nothing outside of a tensor is touched.
  @Test(arguments: Catalogue.operations) func positionsOutside(_ operation: TensorOperation) throws {
    var refused = 0
    for example in operation.examples {
      for position in [1_000_000, -1_000_000] as [Int64] {
        for options in [BackwardOptions(), BackwardOptions(createGraph: true)] {
          let call = try example.call()
          let outputs = try call.outputs()
          let indices = (call.arguments.tensors + outputs).filter { $0.dtype == .int64 && $0.count > 0 }
          guard !indices.isEmpty else { continue }
          for tensor in indices { try tensor.uncountedData.fill(.integer(position)) }
          let path = "\(example.text), positions \(position)"
          do {
            let found = try call.gradients(of: outputs, by: call.inputs, options: options)
            // Who keeps none, or has a copy of his own, needs not look.
            for (position, gradient) in try example.call().gradients().enumerated() {
              expectEqual(found[position], gradient, within: 1e-12, "\(path), gradient of input \(position)")
            }
          } catch let error as TensorError {
            #expect("\(error)".contains("\(position)") || "\(error)".contains("\(position + 1)"), "\(path): \(error)")
            refused += 1
          }
        }
      }
    }
    #expect((refused > 0) == TapeLawTests.looksAgain.contains(operation.name), "\(refused) refused")
  }
}

extension Tensor {
  /// A leaf with the elements in the opposite order.
  fileprivate func reversed() throws -> Tensor {
    let result = try detach().reshape([-1]).flip([0]).reshape(shape).detach().clone()
    try result.setRequiresGrad(true)
    return result
  }

  /// Elements as they are in memory, so that −0 is not 0 and NaN is NaN.
  fileprivate var bits: [UInt64] { doubles.map { $0.isNaN ? .max : $0.bitPattern } }
}
