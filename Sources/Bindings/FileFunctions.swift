// Reading and writing files of data, as Lua/readers.lua calls it.

import Files
import LuaRuntime
import Tensors

enum FileFunctions {
  static var primitives: [String: NativeFunction] {
    [
      // save_npy(tensor, path)
      "save_npy": native("save_npy") { call in
        guard let tensor = call.object(1, tensorKind) else {
          throw ArgumentError("save_npy: argument 1: expected a tensor, got \(Decoder.found(call[1]))")
        }
        guard let path = call.string(2) else {
          throw ArgumentError("save_npy: argument 2: expected a path, got \(Decoder.found(call[2]))")
        }
        try named("save_npy") { try NumPyFile.withPieces(of: tensor) { try OutputFile.write([$0, $1], to: path, isSynced: false) } }
      },
      // load_npy(path, isMapped)
      "load_npy": native("load_npy") { call in
        let path = call.string(1) ?? ""
        let (isMapped, goesOn) = (call[2].isTruthy, call.goesOn)
        call.returns(tensor: try named("load_npy") { try isMapped ? NumPyFile.map(path) : NumPyFile.read(path, while: goesOn) })
      },
      // save_npz(names, tensors, path, isCompressed)
      "save_npz": native("save_npz") { call in
        var arrays: [(name: String, tensor: Tensor)] = []
        let tensors = call[2]
        try call[1].forEachElement { position, name in
          if let name = name.string, let tensor = try tensors.withElement(position, { $0.object(tensorKind) }) {
            arrays.append((name, tensor))
          }
        }
        let (path, isCompressed) = (call.string(3) ?? "", call[4].isTruthy)
        try named("save_npz") { try NumPyArchive.write(arrays, to: path, compressed: isCompressed, isSynced: false) }
      },
      // load_npz(path): the names, and a function that reads one
      "load_npz": native("load_npz") { call in
        let path = call.string(1) ?? ""
        let archive = try named("load_npz") { try NumPyArchive(path) }
        call.returnsList(archive.names.count)
        for name in archive.names { call.returns(name) }
        call.returns(
          native("load_npz") { call in
            let (name, goesOn) = (call.string(1) ?? "", call.goesOn)
            call.returns(tensor: try named("load_npz") { try archive.array(name, while: goesOn) })
          })
      },
      // read_idx(path)
      "read_idx": native("read_idx") { call in
        let (path, goesOn) = (call.string(1) ?? "", call.goesOn)
        call.returns(tensor: try named("read_idx") { try IDXFile.read(path, while: goesOn) })
      },
      // read_image(path, mode)
      "read_image": native("read_image") { call in
        let path = call.string(1) ?? ""
        guard let mode = ImageFile.Mode(rawValue: call.string(2) ?? "") else {
          let known = ImageFile.Mode.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
          throw ArgumentError("read_image: option 'mode': expected one of \(known), got \(Decoder.found(call[2]))")
        }
        call.returns(tensor: try named("read_image") { try ImageFile.read(path, mode: mode) })
      },
      // write_image(tensor, path, quality)
      "write_image": native("write_image") { call in
        let (image, path, quality) = (try call.tensor(1, "write_image"), call.string(2) ?? "", call.integer(3) ?? 0)
        try named("write_image") { try ImageFile.write(image, to: path, quality: quality, isSynced: false) }
      },
      // lines(path, what): a function that returns the next line
      "lines": native("lines") { call in
        let (path, what) = (call.string(1) ?? "", call.string(2) ?? "")
        let reader = try named(what) { try LineReader(path) }
        call.returns(
          native(what) { call in
            guard try named(what, { try reader.next { call.returns(bytes: $0) } }) == nil else { return }
            call.returnsNil()
          })
      },
      // json_lines(path, what, null): a function that returns the next value, with `null` for null
      "json_lines": native("json_lines") { call in
        let (path, what, null) = (call.string(1) ?? "", call.string(2) ?? "", try call.value(3))
        let reader = try named(what) { try JSONLinesReader(path) }
        call.returns(
          native(what) { call in
            guard let value = try named(what, { try reader.next() }) else { return call.returnsNil() }
            // A line may be null, at which a loop would end.
            if value == .null, case .nil = null { return call.returns(.record([])) }
            call.returns(value.value(null: null))
          })
      },
    ]
  }
}

extension JSON {
  /// As Lua has it: objects and arrays are tables.
  fileprivate func value(null: Value) -> Value {
    switch self {
    case .null: null
    case .boolean(let flag): .boolean(flag)
    case .integer(let number): .integer(number)
    case .number(let number): .number(number)
    case .string(let text): .string(text)
    case .array(let list): .list(list.map { $0.value(null: null) })
    case .object(let members): .record(members.map { (key: .string($0.name), value: $0.value.value(null: null)) })
    }
  }
}

extension Call {
  /// What a long reading calls now and then, to end where the script is to.
  var goesOn: () throws -> Void {
    let state = state
    return { if state.isEnding { throw ArgumentError("the script is ended") } }
  }
}
