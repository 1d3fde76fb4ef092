// The bytecode of the library's own Lua parts, which the build makes.

import Bindings
import Foundation
import LuaRuntime
import Moongrad
import Testing

@Suite struct BytecodeTests {
  /// What the sources compile to now: the same code with the same lines, and no names of local variables.
  @Test func partsAreWhatTheirSourcesSay() throws {
    try #require(State.luaRelease == CompiledLua.release)
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources/Bindings/Lua")
    var configuration = Session.Configuration()
    configuration.allowsBinaryChunks = true
    let session = try Session(configuration)
    var count = 0
    for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) where file.pathExtension == "lua" {
      let name = file.deletingPathExtension().lastPathComponent
      session["source"] = try String(contentsOf: file, encoding: .utf8)
      session["chunk"] = State.Configuration.internalPrefix + name
      let code: [UInt8] = try #require(CompiledLua.part(name))
      session["code"] = code
      let same: Bool = try session.evaluate(
        """
        local made, kept = load(source, chunk), load(code, chunk, "b")
        for line in pairs(debug.getinfo(made, "L").activelines) do
          if not debug.getinfo(kept, "L").activelines[line] then return false end
        end
        return string.dump(made, true) == string.dump(kept, true) and string.dump(kept) == code and #code < #string.dump(made)
        """)
      #expect(same, "\(name)")
      count += 1
    }
    #expect(count > 25)
  }
}
