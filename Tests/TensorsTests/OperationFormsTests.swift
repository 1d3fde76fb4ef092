// The laws of layouts, forms, modes and errors, for every operation and each of its samples.

import Tensors
import Testing

@Suite struct OperationFormsTests {
  /// A name means one operation: an alias that another one has too would hide it in Lua.
  @Test func namesAreOnce() {
    var owners: [String: [String]] = [:]
    for operation in Catalogue.operations {
      for name in [operation.name] + operation.aliases { owners[name, default: []].append(operation.name) }
    }
    #expect(owners.filter { $0.value.count > 1 }.isEmpty)
  }

  /// Strides and offsets of the inputs change neither values nor gradients.
  @Test(arguments: Catalogue.operations) func layouts(_ operation: TensorOperation) throws {
    for example in operation.examples {
      for dtype in [DType.float32, .float64] {
        let plain = try example.call(dtype)
        let outputs = try plain.outputs()
        let gradients = try plain.gradients(of: outputs, by: plain.inputs)
        for arrangement in Tensor.Arrangement.allCases {
          let path = "\(example.text) in \(dtype), inputs laid out as \(arrangement)"
          let call = try plain.mapped { try $0.relaid(arrangement) }
          // A view of such a tensor may be impossible, and says so.
          if operation.name == "view", arrangement != .shifted {
            if (try? call.outputs()) == nil { continue }
          }
          try expect(call, outputs, gradients, dtype == .float64 ? 1e-13 : 1e-6, path)
        }
      }
    }
  }

  /// An input stretched by strides of 0 counts as the copy that it looks like.
  @Test(arguments: Catalogue.operations) func expandedInputs(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let original = try example.call()
      let stretched = try original.mapped { tensor in
        guard tensor.rank > 0, tensor.count > 0 else { return tensor }
        let result = try withNoGrad { try tensor.narrow(0, 0, 1).detach().expand(tensor.shape).detach() }
        if tensor.requiresGrad { try result.setRequiresGrad(true) }
        return result
      }
      let copied = try stretched.mapped { tensor in
        let copy = try tensor.copied()
        if tensor.requiresGrad { try copy.setRequiresGrad(true) }
        return copy
      }
      if operation.name == "view", (try? stretched.outputs()) == nil { continue }
      // A matrix of equal rows is singular: then both are refused.
      do {
        let outputs = try copied.outputs()
        let gradients = try copied.gradients(of: outputs, by: copied.inputs)
        try expect(stretched, outputs, gradients, 1e-13, "\(example.text), expanded inputs")
      } catch let error as TensorError where error.kind == .domain {
        #expect(throws: TensorError.self, "\(example.text)") { try stretched.gradients(of: stretched.outputs(), by: stretched.inputs) }
      }
    }
  }

  /// Elementwise functions of tensors long enough to be split over threads equal those of their rows, contiguous or not.
  @Test(arguments: Catalogue.operations.filter { $0.unary != nil || $0.binary != nil })
  func longTensors(_ operation: TensorOperation) throws {
    let ranges = operation.samples[0].values.compactMap { if case .float(_, let range) = $0 { range } else { nil } }
    guard ranges.count == operation.samples[0].values.count else { return }
    let rows = 4
    let sample = Sample(ranges.map { .float([1, 10_007], $0) })
    let row = try Example(operation: operation, sample: sample).call(requiringGrad: { _ in false })
    for dtype in [DType.float32, .float64] {
      let call = try row.mapped { try $0.to(dtype).tile([rows, 1]) }
      let whole = try call.outputs()[0]
      let transposed = try call.mapped { try $0.t().contiguous().t() }.outputs()[0]
      #expect(try whole.eq(transposed).all().item() == .boolean(true), "\(operation.name) in \(dtype), transposed")
      for row in 0..<rows {
        let part = try call.mapped { try $0.select(0, row) }.outputs()[0]
        #expect(try part.eq(whole.select(0, row)).all().item() == .boolean(true), "\(operation.name) in \(dtype), row \(row)")
      }
    }
  }

  private func expect(
    _ call: Call, _ outputs: [Tensor], _ gradients: [Tensor?], _ tolerance: Double, _ path: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let found = try call.outputs()
    try #require(found.count == outputs.count, "\(path)", sourceLocation: sourceLocation)
    for (position, output) in found.enumerated() {
      expectEqual(
        output, outputs[position], within: tolerance, "\(path), output \(position)",
        sourceLocation: sourceLocation)
    }
    for (position, gradient) in try call.gradients(of: found, by: call.inputs).enumerated() {
      expectEqual(
        gradient, gradients[position], within: tolerance, "\(path), gradient of input \(position)",
        sourceLocation: sourceLocation)
    }
  }

  // MARK: In place

  private static let writing = Catalogue.operations.filter { $0.forms.contains(.inPlace) }

  /// `x:name_()` leaves in x what `x:name()` returns, and passes the same gradients on; where the result does not fit
  /// into x it throws and leaves x alone.
  @Test(arguments: writing) func inPlace(_ operation: TensorOperation) throws {
    for example in operation.examples {
      guard try example.call().arguments.tensors.first?.dtype.isFloating ?? false,
        case .tensor = try example.call().arguments.values[0]
      else { continue }
      for arrangement in [nil] + Tensor.Arrangement.allCases {
        let path = example.text + (arrangement.map { ", x laid out as \($0)" } ?? "")
        let plain = try example.call()
        let outputs = try plain.outputs()
        let gradients = try plain.gradients(of: outputs, by: plain.inputs)

        let written = try example.call()
        var x = try written.inputs[0].clone()
        if let arrangement {
          // A non-leaf under other strides: an in-place copy into such memory.
          let place = try withNoGrad { try x.relaid(arrangement).detach() }
          x = try place.copy(from: written.inputs[0])
        }
        let call = Call(
          operation: operation,
          arguments: Arguments(operation.name, [.tensor(x)] + written.arguments.values.dropFirst()))
        let before = x.doubles
        guard outputs[0].shape == x.shape, outputs[0].dtype.category <= x.dtype.category else {
          #expect(throws: TensorError.self, "\(path)") { _ = try operation.runInPlace(call.arguments) }
          #expect(x.doubles == before, "\(path)")
          continue
        }
        let version = x.version
        let result = try operation.runInPlace(call.arguments)
        #expect(result === x, "\(path)")
        #expect(x.version == version + 1, "\(path): writes are counted")
        expectEqual(x, try outputs[0].to(x.dtype), within: 1e-13, path)
        // What has no gradient passes zeros on, in the place of what it overwrote.
        guard outputs[0].requiresGrad else { continue }
        for (position, gradient) in try call.gradients(of: [x], by: written.inputs).enumerated() {
          expectEqual(gradient, gradients[position], within: 1e-13, "\(path), gradient of input \(position)")
        }
      }
    }
  }

  /// The same for tensors without history, whose memory is written directly, in all dtypes that the samples have.
  @Test(arguments: writing) func inPlaceWithoutHistory(_ operation: TensorOperation) throws {
    for example in operation.examples {
      for dtype in [DType.float32, .float64] {
        let plain = try example.call(dtype, requiringGrad: { _ in false })
        guard case .tensor(let first) = plain.arguments.values[0] else { continue }
        let output = try plain.outputs()[0]
        for arrangement in [nil] + Tensor.Arrangement.allCases {
          let path = "\(example.text) in \(dtype)" + (arrangement.map { ", x laid out as \($0)" } ?? "")
          let x = try arrangement.map { try first.relaid($0) } ?? first.copied()
          let arguments = Arguments(operation.name, [.tensor(x)] + plain.arguments.values.dropFirst())
          guard output.shape == x.shape, output.dtype.category <= x.dtype.category else {
            let before = x.doubles
            #expect(throws: TensorError.self, "\(path)") { _ = try operation.runInPlace(arguments) }
            #expect(x.doubles == before, "\(path)")
            continue
          }
          let version = x.version
          #expect(try operation.runInPlace(arguments) === x, "\(path)")
          #expect(x.version == version + 1, "\(path): writes are counted")
          #expect(!x.requiresGrad, "\(path)")
          expectEqual(x, try output.to(x.dtype), within: dtype == .float64 ? 1e-13 : 1e-6, path)
        }
      }
    }
  }

  /// `x:name_()` of a view operation makes x show what `x:name()` does, whatever x is: with gradients, as part of another tensor,
  /// which does not change, and writes to it are writes to that.
  @Test(arguments: Catalogue.operations.filter { $0.forms.contains(.inPlaceView) })
  func inPlaceViews(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let call = try example.call()
      let outputs = try call.outputs()
      let gradients = try call.gradients(of: outputs, by: call.inputs)
      let rest = call.arguments.values.dropFirst()
      func arguments(_ x: Tensor) -> Arguments { Arguments(operation.name, [.tensor(x)] + rest) }

      let x = try call.inputs[0].clone()
      let version = x.version
      let kept = try x * x
      #expect(try operation.runInPlace(arguments(x)) === x)
      #expect(x.version == version + 1, "\(example.text)")
      expectEqual(x, outputs[0], within: 0, example.text)
      #expect(x.isContiguous == outputs[0].isContiguous, "\(example.text)")
      expectEqual(try call.gradients(of: [x], by: call.inputs)[0], gradients[0], within: 0, "\(example.text), gradient")
      #expect(throws: TensorError.self, "\(example.text): a formula had kept it") {
        _ = try Tape.gradients(of: [kept], [Tensor.ones(kept.shape, dtype: kept.dtype)], inputs: [call.inputs[0]])
      }

      // Part of another, which then is written to through it.
      let leaf = try call.inputs[0].detach().unsqueeze(0).expand(Shape([2] + call.inputs[0].shape.array)).clone()
      try leaf.setRequiresGrad(true)
      let whole = try leaf.clone()
      let part = try whole.select(0, 1)
      try operation.runInPlace(arguments(part))
      expectEqual(part, outputs[0], within: 0, "\(example.text), of a part")
      #expect(whole.shape == leaf.shape)
      try Binary.mul.inPlace(part, .integer(3))
      expectEqual(part, try outputs[0] * 3, within: 0, "\(example.text), of a part, written to")
      let found = try Tape.gradients(of: [whole.sum(), part.sum()], [nil, nil], inputs: [leaf])[0]
      expectEqual(try found?.select(0, 0), try Tensor.ones(call.inputs[0].shape, dtype: .float64), within: 0, example.text)
      expectEqual(try found?.select(0, 1), try Tensor.filled(call.inputs[0].shape, .integer(6), dtype: .float64), within: 0, example.text)

      let error = #expect(throws: TensorError.self) { _ = try operation.runInPlace(call.arguments) }
      #expect(error?.description.contains("leaf") ?? false, "\(example.text)")
      let shape = call.inputs[0].shape
      #expect(call.inputs[0].shape == shape)
      try withNoGrad { _ = try operation.runInPlace(call.arguments) }
      #expect(call.inputs[0].shape == outputs[0].shape && call.inputs[0].isLeaf && call.inputs[0].requiresGrad)
    }
  }

  /// A leaf that requires grad is not written to while gradients are recorded, and is under no_grad.
  @Test(arguments: writing) func inPlaceOnLeaves(_ operation: TensorOperation) throws {
    for example in operation.examples.prefix(1) {
      let call = try example.call()
      guard case .tensor(let x) = call.arguments.values[0], x.dtype.isFloating else { continue }
      let before = x.doubles.map(\.bitPattern)
      let error = #expect(throws: TensorError.self, "\(example.text)") {
        _ = try operation.runInPlace(call.arguments)
      }
      #expect(error?.description.contains("leaf") ?? false, "\(example.text): \(error?.description ?? "")")
      #expect(x.doubles.map(\.bitPattern) == before, "\(example.text)")
      let result = try withNoGrad { try call.outputs()[0] }
      guard result.shape == x.shape, result.dtype == x.dtype else { continue }
      try withNoGrad { _ = try operation.runInPlace(call.arguments) }
      expectEqual(x, result, within: 1e-13, "\(example.text) under no_grad")
      #expect(x.isLeaf && x.requiresGrad, "\(example.text)")
    }
  }

  /// `x:name_(x)` is `x:name(x)`; where the other operand's old value is needed for its gradient, backward says so.
  @Test(arguments: Catalogue.operations.filter { $0.binary != nil && $0.forms.contains(.inPlace) })
  func inPlaceWithItself(_ operation: TensorOperation) throws {
    guard case .tensor(let sample) = try operation.examples[0].call().arguments.values[0] else { return }
    for history in [false, true] where !history || sample.dtype.isFloating {
      let leaf = try sample.copied()
      if history { try leaf.setRequiresGrad(true) }
      guard
        let expected = try? operation.run(Arguments(operation.name, [.tensor(leaf), .tensor(leaf)])).tensors[
          0]
      else { continue }
      let x = try leaf.clone()
      let found = try operation.runInPlace(Arguments(operation.name, [.tensor(x), .tensor(x)]))
      expectEqual(found, expected, within: 1e-13, "\(operation.name)(x, x)")
      guard expected.requiresGrad else { continue }
      let weights = try expected.cosineWeights()
      let wanted = try Tape.gradients(of: [expected], [weights], inputs: [leaf])[0]
      do {
        let gradient = try Tape.gradients(of: [found], [weights], inputs: [leaf])[0]
        expectEqual(gradient, wanted, within: 1e-13, "\(operation.name)(x, x), gradient")
      } catch let error as TensorError {
        #expect(error.description.contains("in-place"), "\(operation.name)(x, x): \(error)")
      }
    }
  }

  // MARK: Errors

  /// Bad arguments throw one sentence that names the operation, and nothing is written or kept.
  @Test(arguments: Catalogue.operations.filter { !$0.rejects.isEmpty }) func rejects(_ operation: TensorOperation)
    throws
  {
    for example in operation.rejected {
      let call = try example.call()
      let before = call.arguments.tensors.map(\.doubles)
      let live = Context.memoryUse.live
      do {
        _ = try call.outputs()
        Issue.record("\(example.text) was accepted")
      } catch let error as TensorError {
        let message = error.description
        #expect(message.contains(operation.name), "\(example.text): \(message)")
        #expect(message.count > operation.name.count + 15, "\(example.text): \(message)")
        #expect(
          !message.contains("\n") && !message.contains(". ") && !message.hasSuffix("."),
          "\(example.text): \(message)")
      } catch {
        Issue.record("\(example.text) threw \(error)")
      }
      #expect(Context.memoryUse.live == live, "\(example.text): memory was kept")
      #expect(call.arguments.tensors.map(\.doubles) == before, "\(example.text)")
      #expect(call.arguments.tensors.allSatisfy { $0.version == 0 && $0.gradNode == nil }, "\(example.text)")
    }
  }

  /// Inputs are read only, and a call keeps no memory beyond its results.
  @Test(arguments: Catalogue.operations) func inputsAreLeftAlone(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let call = try example.call()
      let before = call.arguments.tensors.map(\.doubles)
      let live = Context.memoryUse.live
      try autoreleased {
        _ = try call.gradients(
          of: call.outputs(), by: call.inputs, options: BackwardOptions(createGraph: true))
      }
      #expect(Context.memoryUse.live == live, "\(example.text): memory was kept")
      #expect(
        zip(call.arguments.tensors.map(\.doubles), before).allSatisfy {
          zip($0, $1).allSatisfy { agree($0, $1, 0) }
        }, "\(example.text)")
      #expect(
        call.arguments.tensors.allSatisfy { $0.version == 0 && $0.gradNode == nil && $0.grad == nil },
        "\(example.text)")
    }
  }

  private func autoreleased(_ body: () throws -> Void) rethrows { try body() }

  // MARK: The graph

  /// Without grad mode, or without an input that requires grad, nothing is recorded.
  @Test(arguments: Catalogue.operations) func nothingIsRecordedInVain(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let call = try example.call()
      for output in try withNoGrad({ try call.outputs() })
      where !call.inputs.contains(where: { $0 === output }) {
        #expect(!output.requiresGrad && output.isLeaf, "\(example.text) under no_grad")
      }
      for output in try example.call(requiringGrad: { _ in false }).outputs() {
        #expect(!output.requiresGrad && output.isLeaf, "\(example.text) without an input that requires grad")
      }
      for output in try call.outputs() where !output.dtype.isFloating {
        #expect(
          !output.requiresGrad && output.isLeaf,
          "\(example.text): \(output.dtype) results do not require grad")
      }
    }
  }

  /// With one input that requires grad, it gets its gradient and the frozen others get none.
  @Test(arguments: Catalogue.operations) func frozenInputs(_ operation: TensorOperation) throws {
    for example in operation.examples {
      let whole = try example.call()
      guard whole.inputs.count > 1 else { continue }
      let gradients = try whole.gradients()
      for chosen in 0..<whole.inputs.count {
        let call = try example.call(requiringGrad: { $0 == chosen })
        let roots = try call.outputs().filter(\.requiresGrad)
        try Tape.backward(roots, roots.map { try $0.cosineWeights() })
        for (position, input) in call.inputs.enumerated() {
          let path = "\(example.text), only input \(chosen) requires grad: input \(position)"
          expectEqual(
            input.grad, position == chosen && !roots.isEmpty ? gradients[chosen] : nil, within: 1e-13, path)
        }
      }
    }
  }

  /// A second backward throws where saved values were freed, which happens at most where it does in PyTorch, and else
  /// adds the same again; with retain_graph it always does.
  @Test(arguments: Catalogue.operations) func backwardTwice(_ operation: TensorOperation) throws {
    for example in operation.examples {
      for retaining in [false, true] {
        let call = try example.call(requiringGrad: { !example.constants.contains($0) })
        let outputs = try call.outputs()
        let roots = outputs.filter(\.requiresGrad)
        guard !roots.isEmpty else { continue }
        let weights = try roots.map { try $0.cosineWeights() }
        try Tape.backward(roots, weights, options: BackwardOptions(retainGraph: retaining))
        let once = call.inputs.map { $0.grad?.doubles }
        let freed = roots.flatMap(\.nodes).contains(where: \.isReleased)
        #expect(!freed || !retaining, "\(example.text)")
        if freed {
          let error = #expect(throws: TensorError.self, "\(example.text)") {
            try Tape.backward(roots, weights)
          }
          #expect(error?.description.contains("retain_graph") ?? false, "\(example.text)")
        } else {
          try Tape.backward(roots, weights)
          for (first, input) in zip(once, call.inputs) {
            #expect((first == nil) == (input.grad == nil), "\(example.text)")
            for (a, b) in zip(first ?? [], input.grad?.doubles ?? []) where !agree(b, 2 * a, 1e-13) {
              Issue.record("\(example.text): the second backward made \(b) of \(a)")
            }
          }
        }
        if !retaining, let expected = Expected.all[example.text], !expected.isUnknown {
          #expect(!freed || operation.isComposed || expected.frees, "\(example.text): PyTorch saves nothing")
        }
      }
    }
  }
}
