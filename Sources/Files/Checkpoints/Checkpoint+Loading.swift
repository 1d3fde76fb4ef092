// Reading checkpoints. Nothing in the file is trusted, and nothing in it is executed.

import Tensors

extension Checkpoint {
  /// Reads what ``save(_:to:isSynced:)`` wrote.
  ///
  /// Tensors that shared elements share them again, and a table that was held twice is held twice. Throws for what is no such file,
  /// and where anything in it is wrong, before anything is allocated for lengths that the file does not have.
  public static func load(_ path: String) throws -> Value {
    let start = try InputFile(path).bytes(upTo: 4)
    guard !start.starts(with: [0x50, 0x4b]) else {
      throw FileError(path, "is a zip archive, as torch.save writes it, and no checkpoint; load_torch reads those")
    }
    let file = try SafetensorsFile(path)
    guard let text = file.metadata.first(where: { $0.name == structureName })?.text else {
      throw FileError(path, "holds tensors, but not what they are parts of, as a checkpoint does; load_safetensors reads it")
    }
    let structure: JSON
    do { structure = try JSON(text) } catch let error as FileError { throw FileError(path, "\(structureName), \(error.problem)") }
    guard let format = structure["version"] else { throw FileError(path, "\(structureName) has no version") }
    guard format == .integer(version) else {
      throw FileError(path, "is a checkpoint of version \(format), and version \(version) is what is read here")
    }
    var reader = StructureReader(file: file, structure: structure)
    return try reader.value()
  }
}

extension InputFile {
  /// The first bytes; fewer where there are not so many.
  func bytes(upTo count: Int) throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = try read(at: 0, into: UnsafeMutableRawBufferPointer(buffer))
    }
  }
}

private struct StructureReader {
  let file: SafetensorsFile
  let structure: JSON
  private var tables: [(table: Checkpoint.Table, depth: Int)] = []
  private var tensors: [Tensor] = []
  /// The parts of the file that were read, by name.
  private var pieces: [String: Tensor] = [:]

  init(file: SafetensorsFile, structure: JSON) {
    self.file = file
    self.structure = structure
  }

  private func failure(_ problem: String) -> FileError { FileError(file.path, "\(Checkpoint.structureName): \(problem)") }

  mutating func value() throws -> Checkpoint.Value {
    guard case .array(let tensors)? = structure["tensors"], case .array(let tables)? = structure["tables"], let root = structure["value"]
    else { throw failure("tables, tensors or the value are missing") }
    for (number, description) in tensors.enumerated() { self.tensors.append(try tensor(description, "tensor \(number)")) }
    for (number, description) in tables.enumerated() { self.tables.append(try table(description, "table \(number)")) }
    return try value(root, "the value").value
  }

  // MARK: Values

  /// A value, and how deep the tables in it are nested.
  private func value(_ json: JSON, _ place: String) throws -> (value: Checkpoint.Value, depth: Int) {
    switch json {
    case .null: return (.none, 0)
    case .boolean(let flag): return (.boolean(flag), 0)
    case .integer(let integer): return (.integer(integer), 0)
    case .number(let number): return (.number(number), 0)
    case .string(let text): return (.text(text), 0)
    case .array: throw failure("\(place) has an array for a value")
    case .object(let members):
      guard members.count == 1 else { throw failure("\(place) has an object of \(members.count) members for a value") }
      switch (members[0].name, members[0].value) {
      case ("bits", .string(let digits)):
        guard let bits = UInt64(digits, radix: 16) else { throw failure("\(place): \"\(digits.prefix(40))\" are no bits of a number") }
        return (.number(Double(bitPattern: bits)), 0)
      case ("bytes", .string(let digits)):
        guard let bytes = bytes(digits) else { throw failure("\(place): bytes are not written as hexadecimal digits") }
        return (String(validating: bytes, as: UTF8.self).map(Checkpoint.Value.text) ?? .bytes(bytes), 0)
      case ("tensor", .integer(let number)):
        guard tensors.indices.contains(number) else { throw failure("\(place) refers to tensor \(number) of \(tensors.count)") }
        return (.tensor(tensors[number]), 0)
      case ("table", .integer(let number)):
        guard tables.indices.contains(number) else { throw failure("\(place) refers to table \(number), which is not complete there") }
        return (.table(tables[number].table), tables[number].depth)
      default: throw failure("\(place) has an unknown value, \"\(members[0].name.prefix(40))\"")
      }
    }
  }

  private func table(_ json: JSON, _ place: String) throws -> (Checkpoint.Table, Int) {
    guard case .object(let members) = json else { throw failure("\(place) is not an object but \(json.kindName)") }
    let table = Checkpoint.Table()
    var deepest = 0
    func put(_ key: Checkpoint.Key, _ json: JSON) throws {
      guard case .none = table[key] else { throw failure("\(place) has the key \(key.path(in: "")) twice") }
      let (value, depth) = try value(json, place)
      if case .none = value { throw failure("\(place) has nothing under the key \(key.path(in: ""))") }
      table[key] = value
      deepest = max(deepest, depth)
    }
    for member in members {
      guard case .array(let elements) = member.value else { throw failure("\(place): \(member.name.prefix(40)) is not an array") }
      switch member.name {
      case "list": for (position, element) in elements.enumerated() { try put(.integer(position + 1), element) }
      case "entries":
        for element in elements {
          guard case .array(let pair) = element, pair.count == 2 else { throw failure("\(place) has an entry that is no pair") }
          try put(try key(try value(pair[0], place).value, place), pair[1])
        }
      default: throw failure("\(place) has an unknown member \"\(member.name.prefix(40))\"")
      }
    }
    guard deepest < Checkpoint.deepest else { throw failure("\(place) nests tables more than \(Checkpoint.deepest) deep") }
    return (table, deepest + 1)
  }

  private func key(_ value: Checkpoint.Value, _ place: String) throws -> Checkpoint.Key {
    switch value {
    case .integer(let integer): return .integer(integer)
    case .number(let number) where !number.isNaN: return Int(exactly: number).map(Checkpoint.Key.integer) ?? .number(number)
    case .boolean(let flag): return .boolean(flag)
    case .text(let text): return .text(text)
    case .bytes(let bytes): return .bytes(bytes)
    default: throw failure("\(place) has \(value.found) for a key")
    }
  }

  private func bytes(_ digits: String) -> [UInt8]? {
    let values = digits.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
    guard values.count == digits.utf8.count, values.count % 2 == 0 else { return nil }
    return stride(from: 0, to: values.count, by: 2).map { UInt8(values[$0] << 4 | values[$0 + 1]) }
  }

  // MARK: Tensors

  private mutating func tensor(_ json: JSON, _ place: String) throws -> Tensor {
    guard case .string(let name)? = json["name"], let entry = file.entry(named: name) else {
      throw failure("\(place) is no part of the file")
    }
    func flag(_ name: String) throws -> Bool {
      guard let value = json[name] else { return false }
      guard case .boolean(let flag) = value else { throw failure("\(place): \(name) is not a boolean but \(value.kindName)") }
      return flag
    }
    let (isParameter, requiresGrad) = (try flag("parameter"), try flag("requires_grad"))
    guard !requiresGrad || entry.dtype.isFloating else { throw failure("\(place) requires grad, and is of \(entry.dtype)") }
    // Looked at before the elements are read.
    let layout: Layout
    if let order = json["order"] {
      layout = try ordered(entry, integers(order, place), place)
    } else if json["shape"] == nil {
      layout = Layout(entry.shape)
    } else {
      layout = try view(entry, json, place)
    }
    let elements: Tensor
    if let known = pieces[name] {
      elements = known
    } else {
      elements = try file.tensor(entry)
      pieces[name] = elements
    }
    let tensor: Tensor
    if json["order"] != nil {
      tensor = Tensor(storage: try Tensor(uninitialized: entry.shape, entry.dtype).storage, layout: layout, dtype: entry.dtype)
      try tensor.assign(elements)
    } else {
      tensor = Tensor(storage: elements.storage, layout: layout, dtype: entry.dtype)
    }
    if isParameter { try tensor.markParameter(requiresGrad: requiresGrad) } else if requiresGrad { try tensor.setRequiresGrad(true) }
    return tensor
  }

  private func integers(_ json: JSON?, _ place: String) throws -> [Int] {
    guard case .array(let elements)? = json else { throw failure("\(place) has a shape or strides that are no array") }
    return try elements.map {
      guard case .integer(let integer) = $0 else { throw failure("\(place) has \($0.kindName) among its sizes and strides") }
      return integer
    }
  }

  private func ordered(_ entry: SafetensorsFile.Entry, _ order: [Int], _ place: String) throws -> Layout {
    guard order.sorted() == Array(0..<entry.shape.rank) else { throw failure("\(place) has an impossible order of dimensions") }
    // Dense in that order of dimensions, and looked at in theirs.
    let inverse = order.indices.map { order.firstIndex(of: $0)! }
    return Layout(try Shape(order.map { entry.shape[$0] })).permuted(inverse)
  }

  private func view(_ entry: SafetensorsFile.Entry, _ json: JSON, _ place: String) throws -> Layout {
    guard case .integer(let offset)? = json["offset"] else { throw failure("\(place) has no offset") }
    let strides = try integers(json["strides"], place)
    let shape: Shape
    do { shape = try Shape(try integers(json["shape"], place)) } catch let error as TensorError { throw failure("\(place): \(error)") }
    guard let layout = Layout(shape, strides: strides, offset: offset, within: entry.shape.count) else {
      throw failure(
        "\(place), of shape \(shape) and strides \(strides) from \(offset) on, goes beyond the \(entry.shape.count) elements of its part")
    }
    return layout
  }
}

extension Layout {
  /// A layout that somebody else gives; nil where it is none, or where an element would not be one of that many.
  init?(_ shape: Shape, strides: [Int], offset: Int, within count: Int) {
    guard strides.count == shape.rank, offset >= 0, offset <= count, strides.allSatisfy({ $0 >= 0 }) else { return nil }
    guard shape.count > 0 else {
      self.init(shape)
      return
    }
    var list = InlineArray<8, Int>(repeating: 0)
    var last = offset
    for dimension in 0..<shape.rank {
      // Of a single size, the stride means nothing, and may be anything.
      list[dimension] = shape[dimension] == 1 ? 1 : strides[dimension]
      let (reach, overflows) = (shape[dimension] - 1).multipliedReportingOverflow(by: list[dimension])
      let (sum, exceeds) = last.addingReportingOverflow(reach)
      guard !overflows, !exceeds else { return nil }
      last = sum
    }
    guard last < count else { return nil }
    self.init(shape, strides: list, offset: offset)
  }
}
