// Writing checkpoints: the tensors as a `.safetensors` file has them, and beside them, as a text, what they are parts of.
// The format is described in Files.docc, "The format of checkpoints".

import Tensors

extension Checkpoint {
  /// The name of the text in a file's metadata that says what its tensors are parts of.
  static let structureName = "moongrad.checkpoint"
  /// The version of the format that is written here.
  static let version = 1

  /// Writes a value to a file.
  ///
  /// Elements that tensors share are written once, and only those of a storage that the tensors show. Whether a tensor requires grad,
  /// and whether it is a parameter, is kept; gradients and history are not. What stood at `path` is replaced when the whole
  /// file is on the disk. Throws for tables that hold themselves, or are nested more than ``deepest`` deep, with the path to them.
  ///
  /// `metadata` are texts beside the tensors, for other programs.
  public static func save(
    _ value: Value, to path: String, metadata: [(name: String, text: String)] = [], isSynced: Bool = true
  ) throws {
    var writer = StructureWriter(path: path)
    let root = try writer.json(value, path: "", name: "", depth: 0)
    var names = Set<String>()
    var entries: [(name: String, tensor: Tensor)] = []
    var described = [JSON](repeating: .null, count: writer.tensors.count)
    for piece in try CheckpointPiece.pieces(of: writer.tensors.map(\.tensor)) {
      // The first that has it names it.
      var name = writer.tensors[piece.tensors[0].place].name
      if names.contains(name) || name == Safetensors.metadataName {
        let stem = name
        var number = 2
        repeat {
          name = "\(stem)#\(number)"
          number += 1
        } while names.contains(name)
      }
      names.insert(name)
      entries.append((name, piece.elements))
      for (place, form) in piece.tensors { described[place] = describe(writer.tensors[place].tensor, form, name) }
    }
    let structure = JSON.object([
      JSON.Member("version", .integer(version)), JSON.Member("value", root), JSON.Member("tables", .array(writer.written)),
      JSON.Member("tensors", .array(described)),
    ])
    try SafetensorsFile.write(entries, metadata: metadata + [(structureName, "\(structure)")], to: path, isSynced: isSynced)
  }

  private static func describe(_ tensor: Tensor, _ form: CheckpointPiece.Form, _ name: String) -> JSON {
    var members = [JSON.Member("name", .string(name))]
    switch form {
    case .whole: break
    case .ordered(let order): members.append(JSON.Member("order", .array(order.map(JSON.integer))))
    case .view(let layout):
      members.append(JSON.Member("shape", .array(layout.shape.array.map(JSON.integer))))
      members.append(JSON.Member("strides", .array(layout.strideArray.map(JSON.integer))))
      members.append(JSON.Member("offset", .integer(layout.offset)))
    }
    if tensor.isParameter { members.append(JSON.Member("parameter", .boolean(true))) }
    if tensor.requiresGrad { members.append(JSON.Member("requires_grad", .boolean(true))) }
    return .object(members)
  }
}

/// Writes values as JSON. Tables are numbered as they are finished, so that one only refers to those with smaller numbers.
private struct StructureWriter {
  let path: String
  var written: [JSON] = []
  var tensors: [(tensor: Tensor, name: String)] = []
  private var tables: [ObjectIdentifier: Int] = [:]
  /// Tables that are being written, with their places.
  private var open: [ObjectIdentifier: String] = [:]
  private var places: [ObjectIdentifier: Int] = [:]

  init(path: String) { self.path = path }

  mutating func json(_ value: Checkpoint.Value, path: String, name: String, depth: Int) throws -> JSON {
    switch value {
    case .none: return .null
    case .boolean(let flag): return .boolean(flag)
    case .integer(let integer): return .integer(integer)
    case .number(let number):
      if number.isFinite { return .number(number) }
      return .object([JSON.Member("bits", .string(String(number.bitPattern, radix: 16)))])
    case .text(let text): return .string(text)
    case .bytes(let bytes): return .object([JSON.Member("bytes", .string(hexadecimal(bytes)))])
    case .tensor(let tensor):
      if let place = places[ObjectIdentifier(tensor)] { return .object([JSON.Member("tensor", .integer(place))]) }
      guard tensor.batch.isEmpty else {
        throw FileError(self.path, "\(shown(path)) is a tensor of a batch, which is only whole outside of vmap")
      }
      places[ObjectIdentifier(tensor)] = tensors.count
      tensors.append((tensor, name.isEmpty ? "value" : name))
      return .object([JSON.Member("tensor", .integer(tensors.count - 1))])
    case .table(let table): return .object([JSON.Member("table", .integer(try number(of: table, path, name, depth)))])
    }
  }

  private mutating func number(of table: Checkpoint.Table, _ path: String, _ name: String, _ depth: Int) throws -> Int {
    let identity = ObjectIdentifier(table)
    if let number = tables[identity] { return number }
    if let outer = open[identity] { throw FileError(self.path, "\(shown(path)) is \(shown(outer)) itself, and a file holds no cycles") }
    guard depth < Checkpoint.deepest else {
      throw FileError(self.path, "\(shown(path)) is nested more than \(Checkpoint.deepest) tables deep")
    }
    open[identity] = path
    let list = table.list
    var elements: [JSON] = []
    for (position, value) in list.enumerated() {
      let key = Checkpoint.Key.integer(position + 1)
      elements.append(try json(value, path: key.path(in: path), name: key.name(in: name), depth: depth + 1))
    }
    var entries: [JSON] = []
    for (key, value) in table.entries.sorted(by: { Checkpoint.Key.precedes($0.key, $1.key) }) {
      if case .integer(let position) = key, position >= 1, position <= list.count { continue }
      let place = try json(key.value, path: path, name: name, depth: depth)
      entries.append(.array([place, try json(value, path: key.path(in: path), name: key.name(in: name), depth: depth + 1)]))
    }
    open[identity] = nil
    var members: [JSON.Member] = []
    if !elements.isEmpty { members.append(JSON.Member("list", .array(elements))) }
    if !entries.isEmpty { members.append(JSON.Member("entries", .array(entries))) }
    written.append(.object(members))
    tables[identity] = written.count - 1
    return written.count - 1
  }

  private func shown(_ path: String) -> String { path.isEmpty ? "the value" : path }
}

extension Checkpoint.Key {
  package var value: Checkpoint.Value {
    switch self {
    case .integer(let integer): .integer(integer)
    case .number(let number): .number(number)
    case .boolean(let flag): .boolean(flag)
    case .text(let text): .text(text)
    case .bytes(let bytes): .bytes(bytes)
    }
  }
}

private func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
