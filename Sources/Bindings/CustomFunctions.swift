// What autograd.lua makes custom functions and drawings of.

import LuaRuntime
import Tensors

enum CustomFunctions {
  static var primitives: [String: NativeFunction] {
    [
      // record_function(name, inputs, outputs, roles, saved, backward, materializes, once): puts a computation on the tape.
      // The lists hold tensors only; `backward` gets the saved ones as a list and then the gradients, and returns the
      // inputs' gradients. Returns the outputs with their history, as a list.
      "record_function": native("record_function") { call in
        guard let name = call.string(1) else { throw ArgumentError("record_function: expected a name") }
        let inputs = try Autograd.tensors(call[2], name)
        let outputs = try Autograd.tensors(call[3], name)
        var roles: [CustomFunction.Role] = []
        try call[4].forEachElement { _, role in
          guard let role = CustomFunction.Role(rawValue: role.string ?? "") else { throw ArgumentError("\(name): an unknown role") }
          roles.append(role)
        }
        guard roles.count == outputs.count else { throw ArgumentError("\(name): every result needs a role") }
        let function = try ScriptFunction(name, call, 6)
        let count = inputs.count
        let gradient = CustomFunction.Gradient(
          materializes: call.boolean(7) ?? true, isOnceDifferentiable: call.boolean(8) ?? false
        ) { saved, gradients in
          let results = try function.call([.list(saved.map { .tensor($0) })] + gradients.map { .tensor($0) })
          return (0..<count).map { $0 < results.count ? results[$0].tensor : nil }
        }
        let results = try CustomFunction.record(
          name, inputs: inputs, outputs: Array(zip(outputs, roles)), saved: try Autograd.tensors(call[5], name), gradient)
        call.returnsList(results.count)
        for result in results { call.returns(tensor: result) }
      },
      // draw(root, names, tensors, format, limit): the graph as "text" or "dot".
      "draw": native("draw") { call in
        let root = try call.tensor(1, "graph")
        var names: [String] = []
        try call[2].forEachElement { _, name in
          guard let name = name.string else { throw ArgumentError("graph: names are strings, got \(Decoder.found(name))") }
          names.append(name)
        }
        let tensors = try Autograd.tensors(call[3], "graph")
        let drawing = GraphDrawing(root, names: Array(zip(names, tensors)), limit: max(1, call.integer(5) ?? 200))
        call.returns(call.string(4) == "dot" ? drawing.dot : drawing.text)
      },
      // same_random_state(state): whether the generator has drawn nothing since.
      "same_random_state": native("same_random_state") { call in
        call.returns(call.object(1, randomStateKind)?.value == Generator.current.currentState)
      },
      // random_state(): what the generator draws next; random_state(state) goes on from there.
      "random_state": native("random_state") { call in
        if let state = call.object(1, randomStateKind) {
          Generator.current.currentState = state.value
        } else {
          call.returns(RandomState(Generator.current.currentState), randomStateKind)
        }
      },
    ]
  }
}

let randomStateKind = HandleKind<RandomState>("RandomState")

/// The state of the random generator, for scripts to keep and give back.
final class RandomState {
  let value: Generator.State
  init(_ value: Generator.State) { self.value = value }
}
