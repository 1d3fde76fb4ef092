// A limit that ends a script within a mode, a level or a function over a batch ends that, too.

import Moongrad
import Testing

@Suite struct ModesAfterLimitsTests {
  @Test(arguments: [
    "mg.no_grad(function() while true do end end)", "local _ <close> = mg.no_grad() while true do end",
    "mg.inference_mode(function() while true do end end)",
    "mg.func.vmap(function(x) while true do end end)(mg.ones(3))",
    "mg.func.jvp(function(x) while true do end end, { mg.ones(3) }, { mg.ones(3) })",
    "local _ <close> = mg.autograd.forward_ad.dual_level() while true do end",
    "mg.autograd.saved_tensors_hooks(function(x) return x end, function(x) return x end, function() while true do end end)",
    "coroutine.wrap(function() mg.no_grad(function() while true do end end) end)()",
  ]) func afterALimit(_ text: String) throws {
    for sandboxed in [false, true] {
      let session = try Session(sandboxed ? .sandboxed() : .init())
      #expect(throws: LuaError.self) {
        try session.run("local mg = require 'moongrad' " + text, limits: RunLimits(instructions: 100_000))
      }
      try session.run(
        """
        local mg = require 'moongrad'
        grad, inference = mg.is_grad_enabled(), mg.is_inference_mode_enabled()
        local x = mg.ones(2, { requires_grad = true })
        local y = (x * x):sum() + mg.rand(2):sum()
        recorded = y.requires_grad
        """)
      #expect(try session.value("grad") == true && session.value("inference") == false && session.value("recorded") == true, "\(sandboxed)")
    }
  }
}
