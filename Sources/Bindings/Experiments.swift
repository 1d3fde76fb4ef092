// Experiments by processes, and the files that they go on from, as Lua/experiments.lua asks for them.

import Files
import Glibc
import LuaRuntime
import Tensors

enum Experiments {
  static var primitives: [String: NativeFunction] {
    [
      // file_exists(path): whether there is something under a path that the session lends.
      "file_exists": NativeFunction("file_exists") { call in
        var facts = stat()
        call.returns(try named("experiment") { stat(try checked(path: call.string(1) ?? "", for: .reading), &facts) == 0 })
      },
      // read_module(path): the text of a module, or nil where there is none that the session lends.
      "read_module": NativeFunction("read_module") { call in
        guard let path = try? checked(path: call.string(1) ?? "", for: .reading), let bytes = try? readFile(path) else {
          return call.returnsNil()
        }
        call.returns(.bytes(scriptText(bytes)))
      },
      // most_workers(): how many processes a script may have at a time, and how many there are processors for; 1, 1 where it may have none.
      "most_workers": NativeFunction("most_workers") { call in
        let isAllowed = try call.state.companions.allowsProcesses && !ProcessPool.isChild
        call.returns(isAllowed ? ProcessPool.most : 1)
        call.returns(isAllowed ? min(ProcessPool.processors, ProcessPool.most) : 1)
      },
      // run_processes(count, workers, work, ended): calls work(i), which returns a text, in processes, and here for each that ended,
      // ended(i, text), or ended(i, nil, problem).
      "run_processes": native("run_processes") { call in
        guard let count = call.integer(1), let workers = call.integer(2), case .function(let work) = try call.value(3),
          case .function(let ended) = try call.value(4), workers >= 1
        else { throw ArgumentError("run_processes: expected two counts and two functions") }
        // Finalizers of what is garbage already run here, and in no child.
        call.state.collect()
        let state = call.state
        try ProcessPool(output: state.output == nil ? nil : { state.print($0) }).run(count, workers: workers) { index in
          state.output = nil  // the child's copy: what it prints comes through a pipe
          do {
            switch try work.call([.integer(index + 1)]).first {
            case .string(let text)?: return Array(text.utf8)
            case .bytes(let bytes)?: return bytes
            default: return []
            }
          } catch {
            // What no pcall catches: the end of the script.
            let problem = (error as? LuaError)?.message ?? "\(error)"
            return Array(JSON.object([JSON.Member("error", .string(problem))]).description.utf8)
          }
        } ended: { index, outcome in
          switch outcome {
          case .answer(let bytes): _ = try ended.call([.integer(index + 1), .bytes(bytes)])
          case .ended(let problem): _ = try ended.call([.integer(index + 1), .nil, .string(problem)])
          }
        } goesOn: { [goesOn = call.goesOn] in
          try goesOn()
        }
      },
      // growing_file(path, header): a function that adds a line. A file that there is must begin with the header; what a kill left of
      // a last line gets an end.
      "growing_file": native("growing_file") { call in
        let (path, header) = (call.string(1) ?? "", call.string(2) ?? "")
        let file = try named("experiment") {
          let end = try lastByte(path)
          let file = try LogFile(path, appends: true)
          if end == nil {
            try file.write(Array((header + "\n").utf8))
          } else if end != UInt8(ascii: "\n") {
            try file.write([UInt8(ascii: "\n")])
          }
          return file
        }
        call.returns(
          native("experiment") { call in
            guard var line = call[1].bytes else { return }
            line.append(UInt8(ascii: "\n"))
            try named("experiment") { try file.write(line) }
          })
      },
    ]
  }

  /// The last byte of a file; nil where there is none.
  private static func lastByte(_ path: String) throws -> UInt8? {
    let descriptor = open(try checked(path: path, for: .reading), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var byte: UInt8 = 0
    guard lseek(descriptor, -1, SEEK_END) >= 0, read(descriptor, &byte, 1) == 1 else { return nil }
    return byte
  }
}
