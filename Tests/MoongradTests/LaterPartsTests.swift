// Parts of the library that are read when they are needed (Lua/later.lua).

import Moongrad
import Testing

@Suite struct LaterPartsTests {
  /// Every function that stands for one of a part finds it, whichever is called first, and stays what scripts have.
  @Test func eachIsThere() throws {
    let names: [String] = try Session().evaluate(
      """
      local mg, names, seen = require 'moongrad', {}, {}
      local function walk(list, path)
        if seen[list] then return end
        seen[list] = true
        for name, value in pairs(list) do
          if type(value) == 'table' then walk(value, path .. name .. '.') end
          if type(value) == 'function' and debug.getinfo(value, 'S').short_src == 'moongrad.later' then names[#names + 1] = path .. name end
        end
      end
      walk(mg, '')
      return names
      """)
    #expect(names.count > 60)
    let session = try Session()
    for name in names {
      // Of false all but a few make an error of theirs; what is missing would be a nil value that is called.
      let (text, same): (String, Bool) = try (name.hasPrefix("autograd.forward_ad") ? Session() : session).evaluate(
        """
        local mg = require 'moongrad'
        local before = mg.\(name)
        local ok, message = pcall(before, false)
        return tostring(message), before == mg.\(name)
        """)
      #expect(same && !text.contains("attempt to call"), "\(name): \(text)")
    }
  }

  @Test func whatScriptsPutThereStays() throws {
    let session = try Session()
    try session.run(
      """
      mg = require 'moongrad'
      net = mg.nn.Linear(2, 1)
      mg.freeze = 'mine'
      mg.unfreeze(net)
      assert(mg.freeze == 'mine')
      """)
  }

  /// A session whose script spoilt the library before a part was read has the part whole in its next script.
  @Test func spoiltBefore() throws {
    let session = try Session(.sandboxed())
    #expect(throws: LuaError.self) {
      try session.run(
        """
        local mg = require 'moongrad'
        local grad = mg.func.grad
        function mg.is_tensor() error 'spoilt' end
        mg.func, mg.autograd, mg.nn = nil, nil, 5
        pcall(grad, function(x) return x * x end)
        error 'end'
        """)
    }
    try session.run("local mg = require 'moongrad' gradient = mg.func.grad(function(x) return x * x end)(mg.tensor(3.0)):item()")
    #expect(try session.value("gradient") == 6.0)
  }

  /// An end in the middle of reading leaves nothing half read.
  @Test(arguments: [1, 20, 200, 1000, 5000]) func interruptedWithin(_ instructions: Int) throws {
    let session = try Session()
    let program = "local mg = require 'moongrad' count = #mg.data.DataLoader(mg.data.TensorDataset(mg.ones(4)), { batch_size = 2 })"
    _ = try? session.run(program, limits: RunLimits(instructions: instructions))
    try session.run(program)
    #expect(try session.value("count") == 2)
  }
}
