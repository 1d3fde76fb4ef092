// Functions over batches in scripts: what func.vmap is made of, and what a tensor of a batch shows while the function runs.
// Such tensors are handles of their own kind, so that whatever does not know of batches refuses them.

import LuaRuntime
import Tensors

/// A tensor whose first dimensions are a batch's and not the function's business.
let batchedKind = HandleKind<Tensor>("tensor of a batch")

extension Slot {
  /// A tensor, of a batch too.
  var anyTensor: Tensor? { object(tensorKind) ?? (BatchLevels.areInForce ? object(batchedKind) : nil) }
}

extension Call {
  func anyTensor(_ position: Int) -> Tensor? { self[position].anyTensor }

  /// The same, or an error that names function and argument.
  func anyTensor(_ position: Int, _ name: String) throws -> Tensor { try anyTensor(position) ?? tensor(position, name) }

  /// Runs an operation on arguments among which there are tensors of a batch, or random numbers for each element of one.
  mutating func run(batched operation: TensorOperation, _ arguments: Arguments) throws {
    let state = state
    try returns(try Batching.run(operation, arguments) { Batches.warn($0, state) })
  }
}

enum Batches {
  /// Gradients as Tape.gradients has them, of tensors of batches by tensors of batches.
  static func gradients(
    of outputs: [Tensor], _ gradients: [Tensor?], inputs: [Tensor], options: BackwardOptions
  ) throws -> [Tensor?] {
    var seeds: [Tensor?] = []
    var roots: [Tensor] = []
    for (position, output) in outputs.enumerated() {
      let given = position < gradients.count ? gradients[position] : nil
      let levels = BatchLevels.open.filter { output.batch.contains($0.number) }
      guard let given else {
        guard output.ownCount == 1 else {
          throw ArgumentError(
            "grad: a gradient can be implied only for a tensor of one element, this one has shape \(output.ownSizes); pass a gradient of that shape"
          )
        }
        roots.append(output)
        seeds.append(try Tensor.ones(output.shape, dtype: output.dtype))
        continue
      }
      guard given.ownSizes == output.ownSizes else {
        throw ArgumentError("grad: the gradient has shape \(given.ownSizes), but the tensor has shape \(output.ownSizes)")
      }
      // What is the same for all of a batch depends on nothing of it.
      if !given.batch.allSatisfy(output.batch.contains) { continue }
      roots.append(output)
      seeds.append(try given.spread(over: levels).expand(output.shape.array))
    }
    guard !roots.isEmpty else { return inputs.map { _ in nil } }
    let levels = Set(roots.flatMap(\.batch))
    for (position, input) in inputs.enumerated() where !levels.isSubset(of: input.batch) {
      throw ArgumentError(
        "grad: input \(position + 1) is the same for all elements of the batch, and the outputs are not; its gradient would be a sum over them. Differentiate by arguments of a function, with mg.func.grad"
      )
    }
    let results = try Tape.gradients(of: roots, seeds, inputs: inputs, options: options)
    return try zip(results, inputs).map { result, input in try result?.marked(input.batch) }
  }

  /// That an operation has no rule is said once in a session.
  static func warn(_ name: String, _ state: State) {
    guard BatchLevels.noteLoop(name) else { return }
    state.warn(
      "vmap: '\(name)' has no rule for a whole batch, so it is called for each element of it, which takes as long as a loop")
  }

  static func operation(_ name: String) -> TensorOperation { .named(name)! }

  private static func refused(_ what: String) -> ArgumentError {
    BatchLevels.noteRefusal()
    return ArgumentError(
      "\(what): a function that vmap applies to a batch runs once for all of it, so it cannot look at the value of one element; use operations on tensors in its place (mg.where, clamp, …)"
    )
  }

  /// A tensor of a batch, in messages.
  static func found(_ x: Tensor) -> String {
    BatchLevels.noteRefusal()
    let isOpen = x.batch.allSatisfy { number in BatchLevels.open.contains { $0.number == number } }
    return "a tensor of a batch, of shape \(x.ownSizes) for each element\(isOpen ? "" : ", whose vmap has ended")"
  }

  /// Whether positions, or values to write there, are a batch's.
  static func differ(_ items: [IndexItem], _ value: Operand? = nil) -> Bool {
    if case .tensor(let tensor)? = value, !tensor.batch.isEmpty { return true }
    return items.contains { if case .tensor(let index) = $0 { !index.batch.isEmpty } else { false } }
  }

  /// The elements of the whole batch, and what is seen of them.
  static func text(_ x: Tensor) -> String {
    let whole = withNoGrad { x.text(PrintOptions.current) }
    return
      "tensor of a batch of \(x.shape.array.prefix(x.batch.count).map(String.init).joined(separator: " × ")), shape \(x.ownSizes), of\n\(whole)"
  }

  // MARK: Members

  static func members(_ operations: OperationFunctions) -> HandleMembers {
    var members = HandleMembers()
    members.methods = operations.methods.merging(methods) { _, own in own }
    members.getters = getters
    members.setters = [
      "requires_grad": native("requires_grad") { _ in
        throw ArgumentError("requires_grad: a tensor of a batch cannot be made a leaf inside of vmap; use mg.func.grad there")
      }
    ]
    members.metamethods = OperationFunctions.operators
    let names = Array(members.methods.keys) + Array(members.getters.keys)
    members.reading = native("index") { call in
      let x = try call.batched(1, "index")
      if let name = call.string(2), name != "..." {
        let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError("a tensor of a batch has no field or method '\(name)'\(hint)")
      }
      if let number = call.integer(2), let first = x.ownSizes.first, number > first, call.isStepOfIpairs { return call.returnsNil() }
      call.returns(tensor: try BatchedIndexing.read(x, Indexing.items(call[2])))
    }
    members.writing = native("index assignment") { call in
      let x = try call.batched(1, "index assignment")
      if let name = call.string(2), name != "..." { throw ArgumentError("the field '\(name)' of a tensor of a batch cannot be assigned") }
      let value = try Indexing.value(call, x.dtype)
      try BatchedIndexing.write(x, Indexing.items(call[2]), value)
    }
    return members
  }

  private static var getters: [String: NativeFunction] {
    func getter(_ name: String, _ body: @escaping (inout Call, Tensor) throws -> Void) -> (String, NativeFunction) {
      (name, native(name) { call in try body(&call, call.batched(1, name)) })
    }
    return Dictionary(
      uniqueKeysWithValues: [
        getter("shape") { call, x in try call.returns(sizes: x.ownSizes) },
        getter("device") { call, _ in call.returns("cpu") },
        getter("dtype") { call, x in call.returns(x.dtype.description) },
        getter("ndim") { call, x in call.returns(x.ownSizes.count) },
        getter("itemsize") { call, x in call.returns(x.dtype.size) },
        getter("nbytes") { call, x in call.returns(x.ownCount &* x.dtype.size) },
        getter("requires_grad") { call, x in call.returns(withNoGrad { x.requiresGrad }) },
        getter("is_leaf") { call, x in call.returns(withNoGrad { x.isLeaf }) },
        getter("is_parameter") { call, _ in call.returns(false) },
        getter("grad") { call, _ in call.returnsNil() },
        getter("grad_fn") { call, x in
          if let node = withNoGrad({ x.gradNode }) { call.returns(node, nodeKind) } else { call.returnsNil() }
        },
        getter("T") { call, x in
          let (depth, rank) = (x.batch.count, x.rank)
          call.returns(tensor: try x.permute(Array(0..<depth) + (depth..<rank).reversed()).inBatch(x.batch))
        },
        getter("mT") { call, x in
          guard x.ownSizes.count >= 2 else { throw ArgumentError("mT: a matrix is needed, the tensor has shape \(x.ownSizes)") }
          call.returns(tensor: try x.transpose(-2, -1).inBatch(x.batch))
        },
      ])
  }

  private static var methods: [String: NativeFunction] {
    func method(_ name: String, _ count: Int = 0, _ body: @escaping (inout Call, Tensor) throws -> Void) -> (String, NativeFunction) {
      (
        name,
        native(name) { call in
          let x = try call.batched(1, name)
          guard call.count <= count + 1 else {
            throw ArgumentError("\(name): \(call.count - 1) arguments given, but it takes at most \(count)")
          }
          try body(&call, x)
        }
      )
    }
    func shaped(_ name: String, by operation: String) -> (String, NativeFunction) {
      method(name, 1) { call, x in
        guard let other = call.anyTensor(2) else { throw ArgumentError("\(name): expected a tensor, got \(Decoder.found(call[2]))") }
        let sizes = Argument.integers(other.ownSizes)
        try call.run(batched: Batches.operation(operation), Arguments(operation, [.tensor(x), sizes]))
      }
    }
    func converted(_ call: inout Call, _ x: Tensor, _ dtype: DType) throws {
      let result = try x.to(dtype)
      call.returns(tensor: result === x ? x : result.inBatch(x.batch))
    }
    let looking = ["item", "tolist", "equal", "allclose", "is_nonzero"].map { name in (name, native(name) { _ in throw refused(name) }) }
    let leaving = ["backward", "register_hook", "retain_grad", "free", "numpy", "register_post_accumulate_grad_hook"].map { name in
      (
        name,
        native(name) { _ in
          BatchLevels.noteRefusal()
          throw ArgumentError("\(name): not for tensors of a batch; inside of vmap use mg.func.grad, vjp and jvp, and return results")
        }
      )
    }
    return Dictionary(
      uniqueKeysWithValues: looking + leaving + [
        method("size", 1) { call, x in
          let own = x.ownSizes
          if call.isNil(2) { return try call.returns(sizes: own) }
          guard let dimension = call.integer(2) else {
            throw ArgumentError("size: expected a dimension (a whole number), got \(Decoder.found(call[2]))")
          }
          let place = try Decoder.zeroBased(dimension, what: "dimensions", "size")
          guard place >= -own.count, place < own.count else {
            throw ArgumentError("size: dimension \(dimension) is out of range for shape \(own)")
          }
          call.returns(own[place < 0 ? place + own.count : place])
        },
        method("numel") { call, x in call.returns(x.ownCount) },
        method("nelement") { call, x in call.returns(x.ownCount) },
        method("dim") { call, x in call.returns(x.ownSizes.count) },
        method("ndimension") { call, x in call.returns(x.ownSizes.count) },
        method("is_floating_point") { call, x in call.returns(x.dtype.isFloating) },
        method("element_size") { call, x in call.returns(x.dtype.size) },
        method("is_contiguous") { call, x in call.returns(x.isContiguous) },
        method("cpu") { call, _ in call.returnsArgument(1) },
        method("detach") { call, x in call.returns(tensor: try x.detachedWithTangents().inBatch(x.batch)) },
        method("requires_grad_", 1) { call, x in
          try x.setRequiresGrad(call.boolean(2) ?? true)
          call.returnsArgument(1)
        },
        shaped("view_as", by: "view"), shaped("expand_as", by: "expand"), shaped("reshape_as", by: "reshape"),
        method("type_as", 1) { call, x in
          guard let other = call.anyTensor(2) else { throw ArgumentError("type_as: expected a tensor, got \(Decoder.found(call[2]))") }
          try converted(&call, x, other.dtype)
        },
        method("to", 2) { call, x in try converted(&call, x, Devices.dtype(call) ?? x.dtype) },
        method("iter") { call, x in
          guard let count = x.ownSizes.first else { throw ArgumentError("iter: a tensor of rank 0 has no rows") }
          call.returns(rows: count) { try BatchedIndexing.read(x, [.position($0)]) }
        },
      ] + DType.allCases.map { dtype in method(dtype.shortName) { call, x in try converted(&call, x, dtype) } })
  }

  // MARK: What vmap is made of

  static var primitives: [String: NativeFunction] {
    [
      // open_batch(size, randomness): a guard; until it is closed, enter_batch and leave_batch work with this level.
      "open_batch": native("vmap") { call in
        guard let size = call.integer(1), let name = call.string(2), let randomness = BatchLevel.Randomness(rawValue: name) else {
          throw ArgumentError("vmap: option 'randomness': expected \"error\", \"different\" or \"same\", got \(Decoder.found(call[2]))")
        }
        try call.state.companions.defineBatches(call.state)
        try call.returns(scope: "func.vmap") { call in
          let before = call.word
          let level = Batching.open(size: size, randomness: randomness)
          call.word = before | UInt64(GradMode.batching)
          return { call in
            call.word = before
            Batching.close(level)
          }
        }
      },
      // enter_batch(tensor, dimension): its elements along the dimension as the batch of the innermost level.
      "enter_batch": native("vmap") { call in
        guard let x = call.anyTensor(1), let dimension = call.integer(2), let level = BatchLevels.open.last else {
          throw ArgumentError("vmap: expected a tensor and a dimension, got \(Decoder.found(call[1])) and \(Decoder.found(call[2]))")
        }
        call.returns(tensor: try Batching.enter(x, Decoder.zeroBased(dimension, what: "dimensions", "vmap"), level))
      },
      // leave_batch(result, dimension): the result with the batch of the innermost level as a dimension.
      "leave_batch": native("vmap") { call in
        guard let x = call.anyTensor(1), let dimension = call.integer(2), let level = BatchLevels.open.last else {
          throw ArgumentError("vmap: expected a tensor and a dimension, got \(Decoder.found(call[1])) and \(Decoder.found(call[2]))")
        }
        call.returns(tensor: try Batching.leave(x, Decoder.zeroBased(dimension, what: "dimensions", "vmap"), level))
      },
      // spread(tensor): the tensor as every element of the batches that are open has it, for derivatives by it that differ.
      "spread": native("spread") { call in
        guard let x = call.anyTensor(1) else { throw ArgumentError("expected a tensor, got \(Decoder.found(call[1]))") }
        call.returns(tensor: try Batching.spread(x))
      },
      // batch_refusals(): how often something could not be done with tensors of a batch.
      "batch_refusals": NativeFunction("batch_refusals") { call in call.returns(BatchLevels.refusals) },
      // is_batching(): whether a function runs for a batch.
      "is_batching": NativeFunction("is_batching") { call in call.returns(UInt32(truncatingIfNeeded: call.word) & GradMode.batching != 0) },
    ]
  }
}

extension Tensor {
  /// This tensor with a batch's mark; a view of it where it has another one.
  func marked(_ levels: [UInt32]) throws -> Tensor {
    if batch == levels { return self }
    return try (batch.isEmpty ? self : view(shape.array)).inBatch(levels)
  }

  /// How many elements a function sees that is applied to the batch.
  fileprivate var ownCount: Int { ownSizes.reduce(1, *) }
}

extension Call {
  /// The tensor of a batch at a position, while the batch is there.
  fileprivate func batched(_ position: Int, _ name: String) throws -> Tensor {
    guard let x = object(position, batchedKind) ?? object(position, tensorKind) else {
      throw ArgumentError("\(name): expected a tensor, got \(Decoder.found(self[position])); methods are called with ':'")
    }
    guard x.batch.allSatisfy({ number in BatchLevels.open.contains { $0.number == number } }) else {
      throw ArgumentError(
        "\(name): a tensor of a batch is used after its vmap has ended; a function gives its results to vmap by returning them")
    }
    return x
  }
}

/// x[i] and x[i] = v of tensors of a batch.
enum BatchedIndexing {
  /// Whether index tensors stand side by side, so that what they select stays in its place.
  private static func areTogether(_ items: [IndexItem]) -> Bool {
    let places = items.indices.filter { if case .tensor = items[$0] { true } else { false } }
    guard let first = places.first, let last = places.last else { return true }
    return last - first + 1 == places.count
  }

  private static func levels(_ x: Tensor, _ items: [IndexItem], _ value: Tensor? = nil) -> [BatchLevel] {
    var numbers = Set(x.batch + (value?.batch ?? []))
    for case .tensor(let index) in items { numbers.formUnion(index.batch) }
    return BatchLevels.open.filter { numbers.contains($0.number) }
  }

  private static func areShared(_ items: [IndexItem]) -> Bool {
    items.allSatisfy { if case .tensor(let index) = $0 { index.batch.isEmpty } else { true } }
  }

  private static func element(_ items: [IndexItem], _ positions: [UInt32: Int]) throws -> [IndexItem] {
    try items.map { if case .tensor(let index) = $0 { .tensor(try Batching.element(of: index, positions)) } else { $0 } }
  }

  static func read(_ x: Tensor, _ items: [IndexItem]) throws -> Tensor {
    let depth = x.batch.count
    if areShared(items), areTogether(items) {
      return try x.index(Array(repeating: .all, count: depth) + items).inBatch(x.batch)
    }
    let levels = levels(x, items)
    // The usual case of positions that differ: whole rows.
    if items.count == 1, case .tensor(let index) = items[0], index.dtype != .bool, index.ownSizes.count == 1 {
      let select = Batches.operation("index_select")
      return try Batching.run(select, Arguments("index", [.tensor(x), .integer(0), .tensor(index)])).tensors[0]
    }
    return try Batching.loop(levels, "index") {
      .tensor(try Batching.element(of: x, $0).index(element(items, $0)))
    }.tensors[0]
  }

  static func write(_ x: Tensor, _ items: [IndexItem], _ value: Operand) throws {
    let source: Tensor? = if case .tensor(let tensor) = value { tensor } else { nil }
    let levels = levels(x, items, source)
    guard levels.count == x.batch.count else {
      throw ArgumentError(
        "index assignment: the value differs over the batch, but the tensor that it would be written to is the same for all of it; make one for each element, mg.zeros_like of a tensor of the batch"
      )
    }
    let inner = Array(repeating: IndexItem.all, count: x.batch.count) + items
    if areShared(items), areTogether(items) {
      switch value {
      case .number(let number): try x.setIndex(inner, number)
      case .tensor(let source) where source.batch.isEmpty: try x.setIndex(inner, source)
      case .tensor(let source):
        let rank = try withNoGrad { try x.index(inner).rank } - x.batch.count
        try x.setIndex(inner, source.spread(over: levels, rank: rank))
      }
      return
    }
    _ = try Batching.loop(levels, "index assignment") { positions in
      let (part, own) = (try Batching.element(of: x, positions), try element(items, positions))
      switch value {
      case .number(let number): try part.setIndex(own, number)
      case .tensor(let source): try part.setIndex(own, Batching.element(of: source, positions))
      }
      return .tensor(try Tensor.zeros([], dtype: .bool))
    }
  }
}
