// Models of scripts and training loops of either side.

import Moongrad
import Testing

/// A module of the host's under any name, which returns the sum of its inputs.
private final class Namesake: Module {
  init(_ name: String, inputs: [Parameter] = [.input]) { super.init(kind: name, inputs: inputs) }
  override func forward(_ x: Tensor) throws -> Tensor { x }
  override func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { try a + b }
  override func extraDescription(indexBase: Int) -> String { "of the host" }
}

@Suite struct ModelTests {
  let session: Session

  init() throws {
    session = try Session()
    try session.run(
      """
      local mg = require "moongrad"
      local nn, F = mg.nn, mg.nn.functional
      mg.manual_seed(1)
      local Net = nn.Module "Net"
      function Net:init(hidden)
        self.hidden = nn.Linear(1, hidden)
        self.predict = nn.Linear(hidden, 1)
        self.scale = nn.Parameter(mg.ones(1))
        self:register_buffer("calls", mg.zeros(1))
      end
      function Net:forward(x) return self.predict(F.relu(self.hidden(x))) * self.scale end
      net = Net(8)
      two = nn.Module "Two"
      function two:forward(a, b) return a + b, a - b end
      two = two()
      """, name: "model")
  }

  /// y = x² on 32 points, the same for every index.
  private func batch(_ index: Int) throws -> (Tensor, Tensor) {
    let x = try Tensor((0..<32).map { [Double($0 + index % 2) / 16 - 1] })
    return (x, try x * x)
  }

  @Test func scriptTrainsOnBatchesFromSwift() throws {
    var served = 0
    session.function("next_batch") { (index: Int) throws -> (Tensor, Tensor) in
      served += 1
      return try batch(index)
    }
    try session.run(
      """
      local mg = require "moongrad"
      local opt, loss_fn = mg.optim.Adam(net:parameters(), {lr = 0.02}), mg.nn.MSELoss()
      losses = {}
      for step = 1, 200 do
        local x, y = next_batch(step)
        local loss = loss_fn(net(x), y)
        opt:zero_grad()  loss:backward()  opt:step()
        losses[step] = loss:item()
      end
      """, name: "train")
    let losses: [Double] = try session.value("losses")
    #expect(served == 200)
    #expect(losses.count == 200)
    #expect(losses[199] < losses[0] / 10)
  }

  @Test func swiftTrainsTheScriptsModel() throws {
    let net: Module = try session.value("net")
    let optimizer = try OptimizerCatalogue.kind(named: "Adam")!.make(
      [(net.namedParameters().map(\.tensor), [:])], ["lr": .number(0.02)])
    var losses: [Double] = []
    for step in 0..<200 {
      let (x, y) = try batch(step)
      let difference = try net(x) - y
      let loss = try (difference * difference).mean()
      try net.zeroGrad()
      try loss.backward()
      try optimizer.step()
      losses.append(try loss.item().real)
    }
    #expect(losses[199] < losses[0] / 10)
  }

  @Test func calledFromSwiftItGivesTheScriptsNumbers() throws {
    let net: Module = try session.value("net")
    #expect(net is ScriptModule)
    #expect(net.kind == "Net")
    let (x, _) = try batch(0)
    session["x"] = x
    let (y, script) = (try net(x), try session.evaluate("net(x)", as: Tensor.self))
    #expect(try y.eq(script).all().item() == .boolean(true))
    #expect(y.requiresGrad)
    #expect(try withNoGrad { try net(x) }.requiresGrad == false)
  }

  @Test func contentsAreTheScripts() throws {
    let net: Module = try session.value("net")
    #expect(net.namedParameters().map(\.name) == ["scale", "hidden.weight", "hidden.bias", "predict.weight", "predict.bias"])
    #expect(net.parameters.map(\.name) == ["scale"])
    #expect(net.namedBuffers().map(\.name) == ["calls"])
    #expect(net.namedModules().map(\.name) == ["", "hidden", "predict"])
    #expect(try session.evaluate("net.hidden.weight") as Tensor === net.namedParameters()[1].tensor)
    #expect(try session.value("net") as Module === net)
    session["same"] = net
    #expect(try session.evaluate("same == net"))
  }

  @Test func severalInputsAndOutputs() throws {
    let two: Module = try session.value("two")
    let (a, b) = (try Tensor([3.0]), try Tensor([1.0]))
    let outputs = try two([a, b])
    #expect(try outputs.map { try $0.item().real } == [4, 2])
    #expect(try two(a, b).item().real == 4)
  }

  @Test func errorsInForwardHaveTheScriptsLine() throws {
    let net: Module = try session.value("net")
    let error = try #require(throws: LuaError.self) { try net(try Tensor.ones([2, 5])) }
    #expect(error.position?.chunk == "model" && error.position?.line == 11)
    #expect(message { try session.value("two", as: Linear.self) }?.hasPrefix("two: expected Linear, got") == true)
    #expect(message { try session.evaluate("{}", as: Module.self) } == "result: expected Module, got table")
  }

  /// A host's class may have the name of one of ours: it has no fields of it, and its inputs count as it says itself.
  @Test func hostClassesWithOurNames() throws {
    session["noise"] = Namesake("Dropout")
    #expect(try session.evaluate("tostring(noise)") == "Dropout(of the host)")
    #expect(message { try session.evaluate("noise.p", as: Double.self) }?.contains("field 'p' of Dropout does not exist") == true)
    #expect(message { try session.run("noise.p = 0.5") }?.contains("field 'p' of Dropout cannot be assigned") == true)
    session["x"] = try Tensor([0, 1, 2])
    session["words"] = Namesake("Embedding")
    #expect(try session.evaluate("words(x)", as: Tensor.self).doubles == [0, 1, 2])
    session["labels"] = Namesake("NLLLoss", inputs: [.input, Parameter("target", .labels)])
    session["y"] = try Tensor([1, 2, 3])
    #expect(try session.evaluate("labels(x, y)", as: Tensor.self).doubles == [0, 2, 4])
  }

  @Test func aModuleOutlivesItsSession() throws {
    var session: Session? = try Session()
    try session!.run("local mg = require 'moongrad'  local N = mg.nn.Module 'N'  function N:forward(x) return x end  n = N()")
    let module: Module = try session!.value("n")
    let function: LuaFunction = try session!.value("print")
    session = nil
    #expect(message { try module(try Tensor([1.0])) } == "the session of this N is closed")
    #expect(message { try function(1) } == "the session of this function is closed")
    #expect(module.namedParameters().isEmpty)
  }
}
