// A first session, as README shows it.

import Moongrad
import Testing

@Suite struct ReadmeExampleTests {
  @Test func firstSession() throws {
    let session = try Session()
    session["rate"] = 0.1
    session.function("batch") { (size: Int) throws -> (Tensor, Tensor) in (try Tensor.ones([size, 2]), try Tensor.zeros([size, 1])) }
    try session.run(
      """
      local mg = require "moongrad"
      net = mg.nn.Linear(2, 1)
      function loss(size)
        local x, y = batch(size)
        return rate * (net(x) - y):pow(2):mean()
      end
      """, name: "model")
    let loss: LuaFunction = try session.value("loss")
    let value: Tensor = try loss(16)
    try value.backward()
    let net: Module = try session.value("net")
    #expect(try Double(value) >= 0 && net.namedParameters().allSatisfy { $0.tensor.grad != nil })
  }
}
