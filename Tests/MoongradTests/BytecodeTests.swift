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
      let compiled: [Int] = try session.evaluate(
        """
        local code, bytes = string.dump(load(source, chunk)), {}
        for at = 1, #code do bytes[at] = code:byte(at) end
        return bytes
        """)
      #expect(try #require(CompiledLua.part(name)) == compiled.map(UInt8.init), "\(name)")
      count += 1
    }
    #expect(count > 30)
  }
}
