// The samples of Values.md.

import Moongrad
import Testing

@Suite struct ValuesArticle {
  let session: Session
  init() throws { session = try Session() }

  @Test func whatDoesNotFit() throws {
    struct Config: LuaCodable { let rate: Double, layers: [Int] }
    func read() throws {
      try session.run("config = {rate = 1, layers = {1, 2, 'three'}}")
      let config: Config = try session.value("config")  // config.layers[3]: expected integer, got string
      Issue.record("\(config) was read")
    }
    #expect(message { try read() } == "config.layers[3]: expected integer, got string")
  }

  @Test func ofOnesOwn() throws {
    struct Config: LuaCodable {
      var rate = 0.1
      var layers: [Int] = []
      var name: String?
    }
    session["config"] = Config()
    let config: Config = try session.value("config")
    session.function("train") { (config: Config) in config.rate * Double(config.layers.count) }
    #expect(try config.name == nil && session.evaluate("train{ rate = 0.5, layers = { 1, 2 } }") == 1.0)

    struct Layer: LuaCodable {
      var name: String
      var weight: Tensor
    }
    let weight = try Tensor([1.0])
    session["layer"] = Layer(name: "x", weight: weight)
    #expect(try session.value("layer", as: Layer.self).weight === weight)
  }

  @Test func inPlace() throws {
    try session.run("config = {rate = 0.1, layers = {3, 5}}")
    let config: LuaTable = try session.value("config")
    try config.set("rate", 0.2)
    let layers: [Int] = try config.value("layers")
    #expect(try layers == [3, 5] && session.value("config.rate") == 0.2)
  }

  @Test func tensors() throws {
    let tensor = try Tensor([[1, 2], [3, 4]])
    session["x"] = tensor
    try session.run("x:mul_(2)")  // tensor.sum() is 20 now
    #expect(try Double(tensor.sum()) == 20)

    let logits = try Tensor([[0, 0, 1], [1, 0, 0], [0, 2, 0]])
    session["scores"] = logits
    let classes = [2, 0, 1]  // as Swift counts them
    let loss = try logits.crossEntropy(Tensor(classes))
    session["labels"] = try Tensor(classes) + 1  // for a script's cross_entropy
    try session.run("best = scores:argmax(2)")
    let best = try session.value("best", as: Tensor.self).integers.map { $0 - 1 }
    #expect(best == classes)
    #expect(try session.evaluate("require('moongrad').nn.functional.cross_entropy(scores, labels):item()") == Double(loss))

    let weights = tensor
    let largest = try weights.withSpan(of: Float.self) { span in span.indices.map { span[$0] }.max() }
    #expect(largest == 8)
  }
}
