// Files of tensors and of checkpoints, for scripts: the values of Lua as those of Files, and back.
// Lua/checkpoints.lua has the functions that scripts call, with their texts.

import Files
import LuaRuntime
import Tensors
import Training

/// An open file of tensors.
let safetensorsKind = HandleKind<SafetensorsSet>("SafetensorsFile")
/// What `mg.Checkpointer` is made of.
let checkpointerKind = HandleKind<Checkpointer>("Checkpointer")

enum Checkpoints {
  /// What Lua/checkpoints.lua is made of.
  static var primitives: [String: NativeFunction] {
    [
      // load_safetensors(path, isMapped): tensors by name, and the texts beside them.
      "load_safetensors": native("load_safetensors") { call in
        let path = try path(call, 1, "load_safetensors")
        try named("load_safetensors") {
          let file = try SafetensorsSet(path, isMapped: call[2].isTruthy)
          let tensors = try file.tensors()
          call.returnsRecord(tensors.count)
          for (name, tensor) in tensors {
            call.returns(name)
            call.returns(tensor: tensor)
          }
          returns(file.metadata, &call)
        }
      },
      "open_safetensors": native("open_safetensors") { call in
        let path = try path(call, 1, "open_safetensors")
        try named("open_safetensors") { call.returns(try SafetensorsSet(path, isMapped: call[2].isTruthy), safetensorsKind) }
      },
      // save_safetensors(tensors, path, options): the path to be read.
      "save_safetensors": native("save_safetensors") { call in try saveSafetensors(&call) },
      // save(value, path)
      "save": native("save") { call in
        let path = try path(call, 2, "save")
        guard call.count > 0 else { throw ArgumentError("save: argument 1: expected a value to save, got nothing") }
        let reader = ValueReader(name: "save", modules: try call.library)
        let value = try reader.value(call[1], path: "", depth: 0)
        try named("save") { try Checkpoint.save(value, to: path) }
      },
      // load(path): see `returns(_:_:)`.
      "load": native("load") { call in
        let path = try path(call, 1, "load")
        try named("load") { returns(try Checkpoint.load(path), &call) }
      },
      // load_torch(path): the same.
      "load_torch": native("load_torch") { call in
        let path = try path(call, 1, "load_torch")
        try named("load_torch") { returns(try TorchFile.load(path), &call) }
      },
      // checkpointer(folder, keep, monitor, mode)
      "checkpointer": native("Checkpointer") { call in
        let folder = try path(call, 1, "Checkpointer")
        let mode = Checkpointer.Mode(rawValue: call.string(4) ?? "") ?? .min
        try named("Checkpointer") {
          let made = try Checkpointer(folder, keep: call.integer(2) ?? 1, monitor: call.string(3), mode: mode)
          call.returns(made, checkpointerKind)
        }
      },
      // checkpointer_save(checkpointer, step, value, metrics): the path.
      "checkpointer_save": native("save") { call in
        let checkpointer = try checkpointer(call)
        guard let step = call.integer(2), step >= 0 else {
          throw ArgumentError("save: argument 1: expected a step, a whole number from 0 on, got \(Decoder.found(call[2]))")
        }
        var metrics: [String: Double] = [:]
        if !call.isNil(4) {
          guard call.type(4) == .table else {
            throw ArgumentError("save: argument 3: expected metrics by name, got \(Decoder.found(call[4]))")
          }
          try call[4].forEachPair(runsScripts: false) { key, value in
            let name = try text(key, "save: the name of a metric")
            if let tensor = value.object(tensorKind), tensor.count == 1 {
              metrics[name] = try tensor.item().real
            } else {
              guard let number = value.number else { throw ArgumentError("save: metrics.\(name) is no number but \(Decoder.found(value))") }
              metrics[name] = number
            }
          }
        }
        let value = try ValueReader(name: "save", modules: call.library).value(call[3], path: "", depth: 0)
        try named("save") { call.returns(try checkpointer.save(step: step, value, metrics: metrics)) }
      },
      // checkpointer_find(checkpointer, best): path, step and metrics, or nothing.
      "checkpointer_find": native("latest") { call in
        let (checkpointer, best) = (try checkpointer(call), call.boolean(2) == true)
        try named(best ? "best" : "latest") {
          if let entry = try best ? checkpointer.best() : checkpointer.latest() { returns(entry, &call) } else { call.returnsNil() }
        }
      },
      // checkpointer_load(checkpointer, best): step and metrics, and then as load; or nothing.
      "checkpointer_load": native("load_latest") { call in
        let (checkpointer, best) = (try checkpointer(call), call.boolean(2) == true)
        try named(best ? "load_best" : "load_latest") {
          guard let found = try best ? checkpointer.loadBest() : checkpointer.loadLatest() else { return call.returnsNil() }
          call.returns(found.entry.step)
          call.returns(.record(found.entry.metrics.mapValues(Value.number)))
          returns(found.value, &call)
        }
      },
    ]
  }

  private static func checkpointer(_ call: borrowing Call) throws -> Checkpointer {
    guard let checkpointer = call.object(1, checkpointerKind) else { throw ArgumentError("expected a Checkpointer") }
    return checkpointer
  }

  private static func returns(_ entry: Checkpointer.Entry, _ call: inout Call) {
    call.returns(entry.path)
    call.returns(entry.step)
    call.returns(.record(entry.metrics.mapValues(Value.number)))
  }

  static var members: HandleMembers {
    var members = HandleMembers()
    func method(_ name: String, _ body: @escaping (inout Call, SafetensorsSet) throws -> Void) {
      members.methods[name] = native(name) { call in
        guard let file = call.object(1, safetensorsKind) else {
          throw ArgumentError("\(name): expected an open file as self, got \(Decoder.found(call[1])); methods are called with ':'")
        }
        try named(name) { try body(&call, file) }
      }
    }
    func entry(_ call: borrowing Call, _ name: String) throws -> String {
      guard call.type(2) == .string, let text = call.string(2) else {
        throw ArgumentError("\(name): argument 1: expected the name of a tensor, got \(Decoder.found(call[2]))")
      }
      return text
    }
    method("keys") { call, file in call.returns(.list(file.names.map(Value.string))) }
    method("get") { call, file in call.returns(tensor: try file.tensor(named: try entry(call, "get"))) }
    method("metadata") { call, file in returns(file.metadata, &call) }
    method("info") { call, file in
      let name = try entry(call, "info")
      guard let entry = file.entry(named: name) else { throw FileError(file.path, "there is no tensor \"\(name)\"") }
      call.returns(.record(["dtype": .string(entry.dtype.description), "shape": .list(entry.shape.array.map(Value.integer))]))
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      guard let file = call.object(1, safetensorsKind) else { throw ArgumentError("tostring: expected an open file") }
      call.returns("SafetensorsFile(\(file.path), \(file.names.count) tensors)")
    }
    members.metamethods["__len"] = NativeFunction("length") { call in
      guard let file = call.object(1, safetensorsKind) else { throw ArgumentError("length: expected an open file") }
      call.returns(file.names.count)
    }
    return members
  }

  static func path(_ call: borrowing Call, _ position: Int, _ name: String) throws -> String {
    guard call.type(position) == .string, let path = call.string(position) else {
      throw ArgumentError("\(name): argument \(position): expected a path, got \(Decoder.found(call[position]))")
    }
    return path
  }

  private static func returns(_ texts: [(name: String, text: String)], _ call: inout Call) {
    call.returns(.record(texts.map { (key: .string($0.name), value: .string($0.text)) }))
  }

  // MARK: safetensors

  private static func saveSafetensors(_ call: inout Call) throws {
    let name = "save_safetensors"
    guard call.type(1) == .table else {
      throw ArgumentError("\(name): argument 1: expected a table of tensors by name, got \(Decoder.found(call[1]))")
    }
    let path = try path(call, 2, name)
    var tensors: [(name: String, tensor: Tensor)] = []
    try call[1].forEachPair(runsScripts: false) { key, value in
      let entry = try text(key, "\(name): the name of a tensor")
      guard let tensor = value.object(tensorKind) else {
        throw ArgumentError("\(name): expected tensors, got \(Decoder.found(value)) under \"\(entry)\"; mg.save takes other things too")
      }
      tensors.append((entry, tensor))
    }
    var metadata: [(name: String, text: String)] = []
    var shardSize: Int?
    if !call.isNil(3) {
      guard call.type(3) == .table else { throw ArgumentError("\(name): argument 3: expected options, got \(Decoder.found(call[3]))") }
      try call[3].forEachPair(runsScripts: false) { key, value in
        switch key.string {
        case "metadata":
          guard value.type == .table else { throw ArgumentError("\(name): metadata must be a table of texts, got \(Decoder.found(value))") }
          try value.forEachPair(runsScripts: false) { key, value in
            let entry = try text(key, "\(name): a key of metadata")
            metadata.append((entry, try text(value, "\(name): metadata.\(entry)")))
          }
        case "max_shard_size": shardSize = try byteCount(value, "\(name): max_shard_size")
        default:
          let option = key.string ?? Decoder.found(key)
          let hint = nearest(option, ["metadata", "max_shard_size"]).map { "; did you mean '\($0)'?" } ?? ""
          throw ArgumentError("\(name): unknown option '\(option)'\(hint) (known: metadata, max_shard_size)")
        }
      }
    }
    try named(name) {
      if let shardSize {
        call.returns(try SafetensorsSet.write(tensors, metadata: metadata, to: path, shardSize: shardSize))
      } else {
        try SafetensorsFile.write(tensors, metadata: metadata, to: path)
        call.returns(path)
      }
    }
  }

  private static func text(_ slot: Slot, _ what: String) throws -> String {
    guard let text = slot.withBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw ArgumentError("\(what) must be a string, got \(Decoder.found(slot))")
    }
    guard let text else { throw ArgumentError("\(what) must be UTF-8") }
    return text
  }

  /// A count of bytes, or one such as "5GB".
  private static func byteCount(_ slot: Slot, _ what: String) throws -> Int {
    if let count = slot.integer, count > 0 { return count }
    let units = [("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]
    if slot.type == .string, let text = slot.string, let unit = units.first(where: { text.hasSuffix($0.0) }),
      let number = Int(text.dropLast(unit.0.count)), number > 0, number <= Int.max / unit.1
    {
      return number * unit.1
    }
    throw ArgumentError("\(what): expected a count of bytes, or one as in \"5GB\", got \(Decoder.found(slot))")
  }

  // MARK: Values out

  /// Returns a value; or, for tables, nothing, and what Lua puts them together from: the tables with what is no table in them,
  /// and their places in others as a flat list of the outer table, the key and the inner table. The last is the value.
  static func returns(_ value: Checkpoint.Value, _ call: inout Call) {
    guard case .table(let root) = value else { return call.returns(luaValue(value, &call)) }
    var numbers: [ObjectIdentifier: Int] = [:]
    var tables: [Value] = []
    var links: [Value] = []
    // The library's depth bounds the recursion.
    func add(_ table: Checkpoint.Table) -> Int {
      if let number = numbers[ObjectIdentifier(table)] { return number }
      var fields: [(key: Value, value: Value)] = []
      var inner: [(key: Value, number: Int)] = []
      for (key, value) in table.entries {
        let key = luaValue(key.value, &call)
        if case .table(let part) = value { inner.append((key, add(part))) } else { fields.append((key, luaValue(value, &call))) }
      }
      tables.append(.record(fields))
      numbers[ObjectIdentifier(table)] = tables.count
      for (key, number) in inner { links += [.integer(tables.count), key, .integer(number)] }
      return tables.count
    }
    _ = add(root)
    call.returnsNil()
    call.returns(.list(tables))
    call.returns(.list(links))
  }

  private static func luaValue(_ value: Checkpoint.Value, _ call: inout Call) -> Value {
    switch value {
    case .none, .table: return .nil
    case .boolean(let flag): return .boolean(flag)
    case .integer(let integer): return .integer(integer)
    case .number(let number): return .number(number)
    case .text(let text): return .string(text)
    case .bytes(let bytes): return .bytes(bytes)
    case .tensor(let tensor):
      call.pace(bytes: tensor.storage.byteCount &+ 256)
      return .tensor(tensor)
    }
  }
}

// MARK: Values in

/// Reads a script's value, and refuses what a file cannot hold with the path to it.
private final class ValueReader {
  let name: String
  let modules: ModuleLibrary
  private var tables: [UnsafeRawPointer: Checkpoint.Table] = [:]
  private var open: [UnsafeRawPointer: String] = [:]

  init(name: String, modules: ModuleLibrary) {
    self.name = name
    self.modules = modules
  }

  func value(_ slot: Slot, path: String, depth: Int) throws -> Checkpoint.Value {
    func refusal(_ problem: String) -> ArgumentError { ArgumentError("\(name): \(path.isEmpty ? "the value" : path) \(problem)") }
    switch slot.type {
    case .none, .nil: return .none
    case .boolean: return .boolean(slot.isTruthy)
    case .number: return slot.isInteger ? .integer(slot.integer ?? 0) : .number(slot.number ?? 0)
    case .string: return string(slot)
    case .table: return .table(try table(slot, path, depth, refusal))
    case .function: throw refusal("is a function, which a file cannot hold")
    case .thread: throw refusal("is a coroutine, which a file cannot hold")
    case .lightUserdata, .userdata:
      if let tensor = slot.object(tensorKind) { return .tensor(tensor) }
      if slot.object(moduleKind) != nil { throw refusal("is a module; save what its :state_dict() gives") }
      if slot.object(optimizerKind) != nil { throw refusal("is an optimizer; save what its :state_dict() gives") }
      if slot.object(schedulerKind) != nil { throw refusal("is a scheduler; save what its :state_dict() gives") }
      if slot.object(generatorKind) != nil { throw refusal("is a generator; save what its :get_state() gives") }
      if slot.object(batchedKind) != nil { throw refusal("is a tensor of a batch, which is only whole outside of vmap") }
      throw refusal("is \(slot.kindIdentifier > 1 ? Decoder.found(slot) : "a userdata"), which a file cannot hold")
    }
  }

  private func string(_ slot: Slot) -> Checkpoint.Value {
    slot.withBytes { bytes in String(validating: bytes, as: UTF8.self).map(Checkpoint.Value.text) ?? .bytes(Array(bytes)) } ?? .none
  }

  private func table(
    _ slot: Slot, _ path: String, _ depth: Int, _ refusal: (String) -> ArgumentError
  ) throws -> Checkpoint.Table {
    guard let address = slot.address else { throw refusal("is no table") }
    if let known = tables[address] { return known }
    if let outer = open[address] { throw refusal("is \(outer.isEmpty ? "the value" : outer) itself, and a file holds no cycles") }
    guard depth < Checkpoint.deepest else { throw refusal("is nested more than \(Checkpoint.deepest) tables deep") }
    if let module = try modules.instances?.instance(slot) {
      throw refusal("is a module, \(module.name); save what its :state_dict() gives")
    }
    // Loaders and their like would come back as tables without their methods.
    if let name = slot.metatableName { throw refusal("is a \(name); save what its :state_dict() gives, if it has one") }
    open[address] = path
    let table = Checkpoint.Table()
    try slot.forEachPair { key, element in
      guard let place = self.key(key) else {
        throw refusal("has \(Decoder.found(key)) for a key, where numbers, strings, true and false can be")
      }
      table[place] = try value(element, path: place.path(in: path), depth: depth + 1)
    }
    open[address] = nil
    tables[address] = table
    return table
  }

  private func key(_ slot: Slot) -> Checkpoint.Key? {
    switch slot.type {
    case .boolean: return .boolean(slot.isTruthy)
    case .number: return slot.isInteger ? .integer(slot.integer ?? 0) : .number(slot.number ?? 0)
    case .string:
      switch string(slot) {
      case .text(let text): return .text(text)
      case .bytes(let bytes): return .bytes(bytes)
      default: return nil
      }
    default: return nil
    }
  }
}
