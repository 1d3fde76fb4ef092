// Generators of random numbers as scripts hold them, and the state of the session's own.

import LuaRuntime
import Tensors

enum RandomStates {
  /// `mg.Generator` and what is said of the session's generator.
  static var functions: [String: NativeFunction] {
    [
      "Generator": NativeFunction("Generator") { call in
        if !call.isNil(1) { try Devices.check(call[1], "Generator: argument 1") }
        call.returns(Generator(), generatorKind)
      },
      "manual_seed": NativeFunction("manual_seed") { call in
        Generator.current.manualSeed(try seed(call, 1, "manual_seed"))
        call.returns(Generator.current, generatorKind)
      },
      "seed": NativeFunction("seed") { call in call.returns(Generator.current.seed()) },
      "initial_seed": NativeFunction("initial_seed") { call in call.returns(Int(bitPattern: UInt(Generator.current.initialSeed))) },
      "get_rng_state": native("get_rng_state") { call in call.returns(tensor: try Generator.current.stateTensor()) },
      "set_rng_state": native("set_rng_state") { call in
        try Generator.current.setState(state(call, 1, "set_rng_state"), "set_rng_state")
      },
    ]
  }

  /// `generator:name()`.
  static var members: HandleMembers {
    var members = HandleMembers()
    members.methods["manual_seed"] = NativeFunction("manual_seed") { call in
      try generator(call, "manual_seed").manualSeed(try seed(call, 2, "manual_seed"))
      call.returnsArgument(1)
    }
    members.methods["seed"] = NativeFunction("seed") { call in call.returns(try generator(call, "seed").seed()) }
    members.methods["initial_seed"] = NativeFunction("initial_seed") { call in
      call.returns(Int(bitPattern: UInt(try generator(call, "initial_seed").initialSeed)))
    }
    members.methods["get_state"] = native("get_state") { call in
      call.returns(tensor: try generator(call, "get_state").stateTensor())
    }
    members.methods["set_state"] = native("set_state") { call in
      try generator(call, "set_state").setState(state(call, 2, "set_state"), "set_state")
      call.returnsArgument(1)
    }
    members.metamethods["__tostring"] = NativeFunction("tostring") { call in
      call.returns("Generator(initial_seed=\(try generator(call, "tostring").initialSeed))")
    }
    let names = Array(members.methods.keys)
    members.reading = NativeFunction("field") { call in
      let name = call.string(2) ?? Decoder.found(call[2])
      let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
      throw ArgumentError("a generator has no field '\(name)'\(hint)")
    }
    return members
  }

  private static func generator(_ call: borrowing Call, _ name: String) throws -> Generator {
    guard let generator = call.object(1, generatorKind) else {
      throw ArgumentError("\(name): expected a generator as self, got \(Decoder.found(call[1])); write generator:\(name)(…)")
    }
    return generator
  }

  private static func seed(_ call: borrowing Call, _ position: Int, _ name: String) throws -> Int {
    guard let seed = call.integer(position) else {
      throw ArgumentError("\(name): expected a whole number, got \(Decoder.found(call[position]))")
    }
    return seed
  }

  private static func state(_ call: borrowing Call, _ position: Int, _ name: String) throws -> Tensor {
    guard let state = call.object(position, tensorKind) else {
      throw ArgumentError("\(name): expected a state, which is a uint8 tensor, got \(Decoder.found(call[position]))")
    }
    return state
  }
}
