// The bytecode of the library's own Lua parts, which the build makes.

import Bindings
import Foundation
import LuaRuntime
import Moongrad
import Testing

@Suite struct BytecodeTests {
  /// What the sources compile to now, to the byte.
  @Test func partsAreWhatTheirSourcesSay() throws {
    try #require(State.luaRelease == CompiledLua.release)
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources/Bindings/Lua")
    let session = try Session()
    var count = 0
    for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil) where file.pathExtension == "lua" {
      let name = file.deletingPathExtension().lastPathComponent
      session["source"] = try String(contentsOf: file, encoding: .utf8)
      session["chunk"] = State.Configuration.internalPrefix + name
      session["code"] = try #require(CompiledLua.part(name)).map(Int.init)
      let same: Bool = try session.evaluate(
        """
        local made = string.dump(load(source, chunk))
        if #made ~= #code then return false end
        for at = 1, #made do if made:byte(at) ~= code[at] then return false end end
        return true
        """)
      #expect(same, "\(name)")
      count += 1
    }
    #expect(count > 25)
  }
}
