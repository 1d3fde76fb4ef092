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
    ]
  }
}

extension Call {
  /// What a long reading calls now and then, to end where the script is to.
  var goesOn: () throws -> Void {
    let state = state
    return { if state.isEnding { throw ArgumentError("the script is ended") } }
  }
}
