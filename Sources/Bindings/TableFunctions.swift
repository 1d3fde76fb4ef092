// Tables of columns, as CSV files have them, and what reads and writes these.

import Files
import LuaRuntime
import Tensors

let tableKind = HandleKind<DataTable>("Table")

enum TableFunctions {
  // MARK: Files

  static var primitives: [String: NativeFunction] {
    [
      // read_csv(path, options)
      "read_csv": native("read_csv") { call in
        let (path, goesOn) = (call.string(1) ?? "", call.goesOn)
        let options = try CSVOptions(call[2], "read_csv")
        let table = try named("read_csv") { try CSVReader.read(path, options, while: goesOn) }
        call.pace(bytes: 8 * table.rowCount * table.names.count)
        call.returns(table, tableKind)
      },
      // stream_csv(path, options, batch_size): a function that returns the next batch
      "stream_csv": native("stream_csv") { call in
        let (path, count, goesOn) = (call.string(1) ?? "", call.integer(3) ?? 1, call.goesOn)
        let options = try CSVOptions(call[2], "stream_csv")
        let reader = try named("stream_csv") { try CSVReader.stream(path, options, looking: max(1000, min(count, 100_000)), while: goesOn) }
        call.returns(
          native("stream_csv") { call in
            guard let table = try named("stream_csv", { try reader.next(count) }) else { return call.returnsNil() }
            call.pace(bytes: 8 * table.rowCount * table.names.count)
            call.returns(table, tableKind)
          })
      },
      "is_table": NativeFunction("is_table") { call in call.returns(call.unmanaged(1, tableKind) != nil) },
      // write_csv(columns, names, path, delimiter)
      "write_csv": native("write_csv") { call in
        var columns: [DataTable.Column] = []
        var rows: Int?
        try call[1].forEachElement { position, slot in
          let column: DataTable.Column
          let count: Int
          if let tensor = slot.object(tensorKind) {
            (column, count) = (.numbers(tensor), tensor.count)
          } else {
            let texts = try TextColumn()
            try slot.forEachElement { row, element in
              guard try element.withBytes({ try texts.append($0) }) != nil else {
                throw ArgumentError("write_csv: row \(row) of column \(position) is not a string but \(Decoder.found(element))")
              }
            }
            (column, count) = (.texts(texts), texts.count)
          }
          guard count == rows ?? count else {
            throw ArgumentError("write_csv: column \(position) has \(count) rows, and the columns before it have \(rows ?? 0)")
          }
          rows = count
          columns.append(column)
        }
        var names: [String]?
        if call[2].type == .table {
          var list: [String] = []
          try call[2].forEachElement { _, name in list.append(name.string ?? "") }
          names = list
        }
        let (path, goesOn) = (call.string(3) ?? "", call.goesOn)
        let delimiter = try CSVOptions.character(call[4], "write_csv", "delimiter")
        try named("write_csv") {
          try CSVWriter.write(columns, names: names, rows: rows ?? 0, to: path, delimiter: delimiter, isSynced: false, while: goesOn)
        }
      },
    ]
  }

  // MARK: Tables

  static var members: HandleMembers {
    var members = HandleMembers()
    members.getters["columns"] = native("columns") { call in
      let table = try call.table(1, "columns")
      call.returnsList(table.names.count)
      for name in table.names { call.returns(name) }
    }
    members.methods["column"] = native("column") { call in
      let table = try call.table(1, "column")
      let dtype = try call.string(3).map { try DType(named: $0) } ?? DType.defaultFloating
      try call.returns(try table.position(call[2], "column"), of: table, dtype)
    }
    members.methods["labels"] = native("labels") { call in
      let table = try call.table(1, "labels")
      let position = try table.position(call[2], "labels")
      let (labels, classes) = try named("labels") { try table.labels(position) }
      call.returns(tensor: try shifted(labels, by: 1))
      call.returnsList(classes.count)
      for name in classes { call.returns(name) }
    }
    members.methods["tensor"] = native("tensor") { call in
      let table = try call.table(1, "tensor")
      var (chosen, dtype, last) = ([Int](), DType.defaultFloating, call.count)
      if last > 1, call[last].type == .table, call[last].rawLength == 0 {
        try call[last].forEachPair { key, value in
          guard key.string == "dtype", let name = value.string else {
            throw ArgumentError("tensor: the only option of a table's tensor is dtype, a string; got \(key.string ?? Decoder.found(key))")
          }
          dtype = try DType(named: name)
        }
        last -= 1
      }
      if last == 2, call[2].type == .table {
        try call[2].forEachElement { _, name in chosen.append(try table.position(name, "tensor")) }
      } else if last > 1 {
        for argument in 2...last { chosen.append(try table.position(call[argument], "tensor")) }
      } else {
        chosen = Array(table.names.indices)
      }
      call.returns(tensor: try named("tensor") { try table.matrix(chosen, dtype: dtype) })
    }
    members.metamethods["__len"] = native("#") { call in call.returns(try call.table(1, "#").rowCount) }
    members.metamethods["__tostring"] = native("tostring") { call in
      let table = try call.table(1, "tostring")
      let list = zip(table.names, table.columns).prefix(30).map { name, column in
        if case .texts = column { "\(name) (text)" } else { name }
      }
      let more = table.names.count > 30 ? ", …" : ""
      call.returns("table of \(table.rowCount) rows: \(list.joined(separator: ", "))\(more)")
    }
    // t[name] and t[position]. Names that begin with two underscores are Lua's own questions.
    members.reading = native("column") { call in
      let table = try call.table(1, "column")
      if let name = call.string(2), name.hasPrefix("__"), table.position(of: name) == nil { return call.returnsNil() }
      try call.returns(try table.position(call[2], "column"), of: table, DType.defaultFloating)
    }
    return members
  }
}

extension DataTable {
  /// The column that a script means by a name, or a position from 1.
  fileprivate func position(_ slot: Slot, _ what: String) throws -> Int {
    if let name = slot.string {
      if let position = position(of: name) { return position }
      let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
      throw ArgumentError("\(what): the table has no column '\(name)'\(hint)")
    }
    guard let number = slot.integer else {
      throw ArgumentError("\(what): expected the name of a column or its position, got \(Decoder.found(slot))")
    }
    let position = number < 0 ? number + names.count : number - 1
    guard number != 0, names.indices.contains(position) else {
      throw ArgumentError("\(what): there is no column \(number): the table has \(names.count), which count from 1")
    }
    return position
  }
}

extension Call {
  fileprivate func table(_ index: Int, _ what: String) throws -> DataTable {
    guard let table = object(index, tableKind) else {
      throw ArgumentError("\(what): called on \(Decoder.found(self[index])) instead of a table; methods are called with ':', not '.'")
    }
    return table
  }

  /// Returns a column: a tensor of that dtype, or a list of strings.
  fileprivate mutating func returns(_ position: Int, of table: DataTable, _ dtype: DType) throws {
    switch table.columns[position] {
    case .numbers(let tensor):
      // A copy also of the same dtype, so that what is written to it does not change the table.
      returns(tensor: try withNoGrad { try tensor.convertedCopy(to: dtype) })
    case .texts(let texts):
      returnsList(texts.count)
      for row in 0..<texts.count { returns(bytes: texts.bytes(row)) }
    }
  }
}

extension CSVOptions {
  /// Those in a table of which the names were checked.
  fileprivate init(_ table: Slot, _ what: String) throws {
    self.init()
    func refused(_ option: String, _ expected: String, _ slot: Slot) -> ArgumentError {
      ArgumentError("\(what): option '\(option)': expected \(expected), got \(Decoder.found(slot))")
    }
    func list<Element>(_ option: String, _ expected: String, _ element: (Slot) -> Element?) throws -> [Element]? {
      try table.withField(option) { slot in
        if slot.isNil { return nil }
        guard slot.type == .table else { throw refused(option, expected, slot) }
        var list: [Element] = []
        try slot.forEachElement { _, item in
          guard let value = element(item) else { throw refused(option, expected, item) }
          list.append(value)
        }
        return list
      }
    }
    func count(_ option: String, _ use: (Int) -> Void) throws {
      try table.withField(option) { slot in
        if slot.isNil { return }
        guard let number = slot.integer, number >= 0 else { throw refused(option, "a count", slot) }
        use(number)
      }
    }
    hasHeader = try table.withField("header") { $0.isTruthy }
    delimiter = try table.withField("delimiter") { try CSVOptions.character($0, what, "delimiter") }
    try table.withField("quote") { slot in
      if slot.isNil { return }
      quote = slot.boolean == false ? nil : try CSVOptions.character(slot, what, "quote")
    }
    try table.withField("comment") { slot in if !slot.isNil { comment = try CSVOptions.character(slot, what, "comment") } }
    try count("skip") { skippedLines = $0 }
    try count("rows") { mostRows = $0 }
    columns = try list("columns", "a list of names or positions from 1") { slot in
      if let name = slot.string { return .name(name) }
      return slot.integer.map { .position($0 - 1) }
    }
    if let list = try list("missing", "a list of strings", { $0.string }) { missing = list }
    try table.withField("types") { slot in
      if slot.isNil { return }
      guard slot.type == .table else { throw refused("types", "a table of \"number\" and \"text\" by name", slot) }
      try slot.forEachPair { key, value in
        guard let name = key.string, let kind = ["number": Kind.numbers, "text": .texts][value.string ?? ""] else {
          throw refused("types", "a table of \"number\" and \"text\" by name", key.string == nil ? key : value)
        }
        types[name] = kind
      }
    }
  }

  /// The one character of ASCII that a string is.
  fileprivate static func character(_ slot: Slot, _ what: String, _ option: String) throws -> UInt8 {
    guard let bytes = slot.bytes, bytes.count == 1, bytes[0] < 128 else {
      throw ArgumentError("\(what): option '\(option)': expected one character of ASCII, got \(Decoder.found(slot))")
    }
    return bytes[0]
  }
}
