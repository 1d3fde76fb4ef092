// Modules over batches: every class of modules, with inputs of a batch and with parameters of one, gives what it gives for
// each element.

import Tensors
import Testing
import Training

@Suite struct ModuleBatchingTests {
  private func batch(_ tensor: Tensor, _ level: BatchLevel, scaled: Bool) throws -> Tensor {
    let parts = try (0..<level.size).map { number in
      scaled && tensor.dtype.isFloating ? try tensor.detach() * (1 - 0.125 * Double(number)) : tensor.detach()
    }
    let stack = try #require(TensorOperation.named("stack"))
    return try stack.run(Arguments("stack", [.tensors(parts)])).tensors[0].inBatch([level.number])
  }

  @Test(arguments: ModuleCatalogue.kinds.map(\.name)) func elements(_ name: String) throws {
    let kind = try #require(ModuleCatalogue.kind(named: name))
    for sample in kind.samples {
      for hasParameters in [false, true] {
        let (module, call) = try sample.instance(of: kind, dtype: .float64)
        module.train(false)
        try module.to(.float64)
        let own = module.parameters
        if hasParameters, own.isEmpty { continue }
        let bits = GradMode.bits
        let level = Batching.open(size: 3, randomness: .error)
        GradMode.bits = bits | GradMode.batching
        defer {
          GradMode.bits = bits
          Batching.close(level)
        }
        let values = try call.mapped { try batch($0, level, scaled: true) }
        var many: [String: Tensor] = [:]
        if hasParameters {
          for case (let name, let tensor?) in own { many[name] = try batch(tensor, level, scaled: true) }
        }
        for (name, tensor) in many { try module.set(parameter: name, tensor) }
        var warned = false
        let found = try module(batch: values) { _ in warned = true }
        // By what rule its operation goes is the business of that.
        if try module.asOperation(call.tensors) == nil { #expect(warned) }
        for place in 0..<3 {
          for (name, tensor) in many { try module.set(parameter: name, tensor.select(0, place)) }
          let expected = try module(values.mapped { try $0.select(0, place) })
          #expect(expected.count == found.count)
          for (a, b) in zip(found, expected) {
            let part = try a.select(0, place)
            #expect(part.shape == b.shape)
            for (x, y) in zip(part.doubles, b.doubles) { #expect(Swift.abs(x - y) <= 1e-9 * Swift.max(1, Swift.abs(y))) }
          }
        }
      }
    }
  }
}
