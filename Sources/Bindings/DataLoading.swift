// What Lua/data.lua is built on: data sets of tensors, samplers and passes over them. Positions count from 1 there, from 0 here.

import LuaRuntime
import Tensors
import Training

/// A data set that Swift gathers batches of.
final class DataSource {
  let dataset: any Dataset
  init(_ dataset: any Dataset) { self.dataset = dataset }
}

let sourceKind = HandleKind<DataSource>("DataSource")
let passKind = HandleKind<LoaderPass>("LoaderPass")

enum DataLoading {
  static var primitives: [String: NativeFunction] {
    [
      // tensor_source(tensors), subset_source(source, positions), concat_source(sources): data sets.
      "tensor_source": native("TensorDataset") { call in
        call.returns(DataSource(try TensorDataset(Autograd.tensors(call[1], "TensorDataset"))), sourceKind)
      },
      "subset_source": native("Subset") { call in
        call.returns(DataSource(try Subset(source(call, 1), positions(call[2], "Subset"))), sourceKind)
      },
      "concat_source": native("ConcatDataset") { call in
        var list: [any Dataset] = []
        try call[1].forEachElement { _, element in
          guard let source = element.object(sourceKind) else { throw ArgumentError("ConcatDataset: expected data sets") }
          list.append(source.dataset)
        }
        call.returns(DataSource(try ConcatDataset(list)), sourceKind)
      },
      // gather(source, positions): the tensors of a batch; sample(source, position): those of one sample.
      "gather": native("DataLoader") { call in
        for tensor in try source(call, 1).batch(positions(call[2], "DataLoader")) { call.returns(tensor: tensor) }
      },
      "sample": native("get") { call in
        guard let position = call.integer(2) else {
          throw ArgumentError("get: expected a position, a whole number, got \(Decoder.found(call[2]))")
        }
        for tensor in try source(call, 1).sample(position - 1) { call.returns(tensor: tensor) }
      },
      // split_lengths(lengths, count): how many samples each part has.
      "split_lengths": NativeFunction("random_split") { call in
        var lengths: [Double] = []
        try call[1].forEachElement { index, element in
          guard let length = element.number else {
            throw ArgumentError("random_split: length \(index) is not a number but \(Decoder.found(element))")
          }
          lengths.append(length)
        }
        call.returns(Value.list(try splitLengths(lengths, of: call.integer(2) ?? 0).map(Value.integer)))
      },
      // permutation(n, generator): positions in random order.
      "permutation": NativeFunction("random_split") { call in
        let count = max(call.integer(1) ?? 0, 0)
        try requireRoom(for: count)
        returns((generator(call[2]) ?? .current).permutation(count), &call)
      },
      // draw_seed(generator): what a loader draws when a pass begins.
      "draw_seed": NativeFunction("DataLoader") { call in
        _ = (generator(call[1]) ?? .current).nextSeed()
      },
      "is_generator": NativeFunction("is_generator") { call in call.returns(call.object(1, generatorKind) != nil) },
      // check_sampler(sampler): the count of its positions, or an error that says what is wrong with it.
      "check_sampler": NativeFunction("Sampler") { call in call.returns(try sampler(call[1]).count) },
      // begin_pass(sampler, batch size or false, drop_last, source or nil, prefetch, state or nil)
      "begin_pass": native("DataLoader") { call in
        let pass = LoaderPass(
          try sampler(call[1]).makePass(), batchSize: call.integer(2), dropLast: call.boolean(3) ?? false,
          dataset: call.object(4, sourceKind)?.dataset, prefetch: call.integer(5) ?? 0)
        if call.type(6) == .table { try pass.load(state(call[6], count: call.integer(7) ?? 0)) }
        call.returns(pass, passKind)
      },
      // next_batch(pass): its tensors, or nothing.
      "next_batch": native("DataLoader") { call in
        guard let pass = call.object(1, passKind) else { throw ArgumentError("DataLoader: expected a pass") }
        guard let tensors = try pass.next() else { return call.returnsNil() }
        for tensor in tensors { call.returns(tensor: tensor) }
      },
      // next_positions(pass): a list, or nil.
      "next_positions": native("DataLoader") { call in
        guard let pass = call.object(1, passKind) else { throw ArgumentError("DataLoader: expected a pass") }
        guard let positions = try pass.nextPositions() else { return call.returnsNil() }
        returns(positions, &call)
      },
      "close_pass": NativeFunction("DataLoader") { call in call.object(1, passKind)?.close() },
      // pass_state(pass): plain values and tensors.
      "pass_state": native("state_dict") { call in
        guard let pass = call.object(1, passKind) else { throw ArgumentError("DataLoader: expected a pass") }
        guard !pass.isOver else { return call.returnsNil() }
        let state = try pass.state()
        var fields: [(key: Value, value: Value)] = [
          (.string("batches"), .integer(state.batches)), (.string("pieces"), .integer(state.sampler.pieces)),
        ]
        if let range = state.sampler.range {
          fields.append((.string("first"), .integer(range.lowerBound + 1)))
          fields.append((.string("last"), .integer(range.upperBound)))
        } else {
          fields.append((.string("rest"), .tensor(try shifted(Tensor(state.sampler.rest), by: 1))))
        }
        if let generator = state.sampler.generator { fields.append((.string("own_generator"), .tensor(generator))) }
        call.returns(Value.record(fields))
      },
    ]
  }

  private static func source(_ call: borrowing Call, _ position: Int) throws -> any Dataset {
    guard let source = call.object(position, sourceKind) else { throw ArgumentError("expected a data set") }
    return source.dataset
  }

  private static func generator(_ slot: Slot) -> Generator? { slot.object(generatorKind) }

  private static func returns(_ positions: [Int], _ call: inout Call) {
    call.returnsList(positions.count)
    for position in positions { call.returns(position + 1) }
  }

  /// A list of positions, or a tensor of them.
  private static func positions(_ slot: Slot, _ name: String) throws -> [Int] {
    if let tensor = slot.object(tensorKind) {
      guard tensor.dtype.category == .integer, tensor.rank == 1 else {
        throw ArgumentError("\(name): expected a vector of positions, which are whole numbers, got a tensor of shape \(tensor.shape)")
      }
      return try tensor.array(of: Int.self).map { try zeroBased($0, name) }
    }
    var list: [Int] = []
    list.reserveCapacity(slot.rawLength)
    try slot.forEachElement { index, element in
      guard let position = element.integer else {
        throw ArgumentError("\(name): element \(index) of the positions is not a whole number but \(Decoder.found(element))")
      }
      list.append(try zeroBased(position, name))
    }
    return list
  }

  private static func zeroBased(_ position: Int, _ name: String) throws -> Int {
    guard position > 0 else { throw ArgumentError("\(name): position \(position) is out of range: positions start at 1") }
    return position - 1
  }

  // MARK: Samplers

  /// Of the table that data.lua makes: `kind`, and what that has.
  private static func sampler(_ slot: Slot) throws -> any Sampler {
    func integer(_ name: String) throws -> Int? { try slot.withField(name) { $0.integer } }
    func flag(_ name: String) throws -> Bool { try slot.withField(name) { $0.boolean ?? false } }
    let generator = try slot.withField("generator") { self.generator($0) }
    let kind = try slot.withField("kind") { $0.string } ?? ""
    switch kind {
    case "SequentialSampler": return SequentialSampler(try integer("total") ?? 0)
    case "RandomSampler":
      return try RandomSampler(
        integer("total") ?? 0, replacement: flag("replacement"), samples: integer("num_samples"), generator: generator)
    case "SubsetRandomSampler":
      return SubsetRandomSampler(try slot.withField("positions") { try positions($0, kind) }, generator: generator)
    case "WeightedRandomSampler":
      let weights = try slot.withField("weights") { slot in
        try (slot.object(tensorKind) ?? tensor(from: slot, dtype: .float64, kind)).detach().checkedDoubles(kind)
      }
      return try WeightedRandomSampler(weights, integer("num_samples") ?? 0, replacement: flag("replacement"), generator: generator)
    default: return ListSampler(try slot.withField("positions") { try positions($0, "DataLoader") })
    }
  }

  // MARK: States

  /// What pass_state gave; `count` are the samples there are now.
  private static func state(_ slot: Slot, count: Int) throws -> LoaderPass.State {
    func refuse(_ what: String) -> ArgumentError { ArgumentError("DataLoader.load_state_dict: \(what)") }
    func integer(_ name: String) throws -> Int? {
      guard let number = try slot.withField(name, { $0.integer }) else { return nil }
      guard number >= 0 else { throw refuse("\(name) = \(number) is no count") }
      return number
    }
    var state = SamplerPass.State(pieces: try integer("pieces") ?? 0)
    if let first = try integer("first"), let last = try integer("last") {
      guard first >= 1, last <= count, first <= last + 1 else {
        throw refuse("the samples \(first) to \(last) are to come, but there are \(count)")
      }
      state.range = first - 1..<last
    } else {
      state.rest = try slot.withField("rest") { try positions($0, "DataLoader.load_state_dict") }
      if let wrong = state.rest.first(where: { $0 >= count }) {
        throw refuse("sample \(wrong + 1) is to come, but there are \(count)")
      }
    }
    state.generator = try slot.withField("own_generator") { $0.object(tensorKind) }
    guard let batches = try integer("batches") else { throw refuse("the state has no count of batches") }
    return LoaderPass.State(batches: batches, sampler: state)
  }
}
