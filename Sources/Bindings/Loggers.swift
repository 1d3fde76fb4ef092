// Loggers as handles: `mg.loggers.SummaryWriter(folder)`, `mg.loggers.CSVLogger(path)`. Lua/loops.lua asks whether a session lends files.

import Files
import LuaRuntime
import Tensors
import Training

enum Loggers {
  static var primitives: [String: NativeFunction] {
    let writer = Decoder("SummaryWriter", [.init("folder", .string, default: "\"runs\"")], isMethod: false)
    return [
      "summary_writer": native("SummaryWriter") { call in
        let folder = try writer.decode(call).string(0, default: "runs")
        call.returns(try named("SummaryWriter") { try SummaryWriter(folder) }, writerKind)
      },
      // csv_logger(path, columns, appends)
      "csv_logger": native("CSVLogger") { call in
        guard let path = call.string(1) else {
          throw ArgumentError("CSVLogger: argument 1: expected a path, got \(Decoder.found(call[1]))")
        }
        var columns: [String] = []
        if !call.isNil(2) {
          guard call.type(2) == .table else {
            throw ArgumentError("CSVLogger: option 'columns': expected a list of names, got \(Decoder.found(call[2]))")
          }
          try call[2].forEachElement { _, slot in
            guard slot.type == .string, let name = slot.string else {
              throw ArgumentError("CSVLogger: option 'columns': expected names, got \(Decoder.found(slot))")
            }
            columns.append(name)
          }
        }
        guard call.isNil(3) || call.type(3) == .boolean else {
          throw ArgumentError("CSVLogger: option 'append': expected true or false, got \(Decoder.found(call[3]))")
        }
        let appends = call.boolean(3) ?? false
        call.returns(try named("CSVLogger") { try CSVLogger(path, columns: columns, appends: appends) }, csvLoggerKind)
      },
    ]
  }

  private static func subject<T>(_ call: borrowing Call, _ kind: HandleKind<T>, _ method: String, _ what: String) throws -> T {
    guard let object = call.object(1, kind) else {
      throw ArgumentError("\(method): expected a \(what) as self, got \(Decoder.found(call[1])); methods are called with ':'")
    }
    return object
  }

  // MARK: TensorBoard

  static var writerMembers: HandleMembers {
    var members = HandleMembers()
    func method(_ name: String, _ parameters: [Parameter], _ body: @escaping (SummaryWriter, Arguments) throws -> Void) {
      let decoder = Decoder(name, parameters, isMethod: false, skips: 1)
      members.methods[name] = native(name) { call in
        let writer = try subject(call, writerKind, name, "SummaryWriter")
        let arguments = try decoder.decode(call)
        try named(name) { try body(writer, arguments) }
      }
    }
    let (tag, step) = (Parameter("tag", .string), Parameter("step", .integer, default: "0"))
    method("add_scalar", [tag, .init("value", .operand), step]) { writer, arguments in
      let value = try arguments.tensor(1)
      guard value.count == 1 else { throw ArgumentError("add_scalar: one number is expected, got a tensor of shape \(value.shape)") }
      try writer.addScalar(arguments.string(0, default: ""), value.doubles[0], step: arguments.integer(2, default: 0))
    }
    method("add_text", [tag, .init("text", .string), step]) { writer, arguments in
      try writer.addText(arguments.string(0, default: ""), arguments.string(1, default: ""), step: arguments.integer(2, default: 0))
    }
    method("add_histogram", [tag, .init("values", .tensor), step]) { writer, arguments in
      try writer.addHistogram(arguments.string(0, default: ""), arguments.tensor(1), step: arguments.integer(2, default: 0))
    }
    members.methods["add_scalars"] = native("add_scalars") { call in
      let writer = try subject(call, writerKind, "add_scalars", "SummaryWriter")
      guard let tag = call.string(2), call.type(3) == .table else {
        throw ArgumentError(
          "add_scalars: expected a tag and a table of numbers by their names, got \(Decoder.found(call[2])) and \(Decoder.found(call[3]))")
      }
      guard call.isNil(4) || call.integer(4) != nil else {
        throw ArgumentError("add_scalars: argument 3 (step): expected a whole number, got \(Decoder.found(call[4]))")
      }
      var values: [(name: String, value: Double)] = []
      try call[3].forEachPair { key, slot in
        guard let name = key.string,
          let value = try slot.number ?? slot.object(tensorKind).flatMap({ $0.count == 1 ? try $0.item().real : nil })
        else { throw ArgumentError("add_scalars: expected numbers by their names, got \(Decoder.found(slot)) under \(Decoder.found(key))") }
        values.append((name, value))
      }
      try named("add_scalars") {
        for entry in values.sorted(by: { $0.name < $1.name }) {
          try writer.addScalar("\(tag)/\(entry.name)", entry.value, step: call.integer(4) ?? 0)
        }
      }
    }
    method("flush", []) { writer, _ in writer.flush() }
    method("close", []) { writer, _ in writer.close() }
    members.metamethods["__close"] = native("close") { call in call.object(1, writerKind)?.close() }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      call.returns("SummaryWriter(\(try subject(call, writerKind, "tostring", "SummaryWriter").folder))")
    }
    return members
  }

  // MARK: CSV

  static var csvMembers: HandleMembers {
    var members = HandleMembers()
    members.methods["log"] = native("log") { call in
      let logger = try subject(call, csvLoggerKind, "log", "CSVLogger")
      guard call.type(2) == .table else {
        throw ArgumentError("log: expected a table of values by their names, got \(Decoder.found(call[2]))")
      }
      var row: [String: CSVLogger.Cell] = [:]
      try call[2].forEachPair { key, value in
        guard key.type == .string, let name = key.string else {
          throw ArgumentError("log: values have names, got the key \(Decoder.found(key))")
        }
        row[name] = try cell(value, name)
      }
      try named("log") { try logger.log(row) }
    }
    members.methods["close"] = native("close") { call in try subject(call, csvLoggerKind, "close", "CSVLogger").close() }
    members.metamethods["__close"] = native("close") { call in call.object(1, csvLoggerKind)?.close() }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      call.returns("CSVLogger(\(try subject(call, csvLoggerKind, "tostring", "CSVLogger").path))")
    }
    return members
  }

  private static func cell(_ slot: Slot, _ name: String) throws -> CSVLogger.Cell {
    if let flag = slot.boolean { return .boolean(flag) }
    if slot.isInteger, let integer = slot.integer { return .integer(integer) }
    if let number = slot.number { return .number(number) }
    if slot.type == .string, let text = slot.string { return .text(text) }
    if let tensor = slot.object(tensorKind), tensor.count == 1 {
      let scalar = try tensor.item()
      return tensor.dtype.isFloating ? .number(scalar.real) : .integer(Int(scalar.integer))
    }
    throw ArgumentError("log: '\(name)': expected a number, a text, a boolean or a tensor of one element, got \(Decoder.found(slot))")
  }
}
