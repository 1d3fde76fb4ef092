// What Lua/copies.lua copies by Swift: generators, optimizers and schedulers.

import LuaRuntime
import Tensors
import Training

enum Copies {
  static var primitives: [String: NativeFunction] {
    [
      // copied_kind(value): "Generator", "Optimizer", "Scheduler" or nil, and what tells one object from another.
      "copied_kind": NativeFunction("deepcopy") { call in
        func returns(_ kind: String, _ object: AnyObject) {
          call.returns(kind)
          call.returns(Int(bitPattern: ObjectIdentifier(object)))
        }
        if let generator = call.object(1, generatorKind) { return returns("Generator", generator) }
        if let optimizer = call.object(1, optimizerKind) { return returns("Optimizer", optimizer) }
        if let scheduler = call.object(1, schedulerKind) { return returns("Scheduler", scheduler) }
        call.returnsNil()
      },
      "copy_generator": NativeFunction("deepcopy") { call in
        guard let generator = call.object(1, generatorKind) else { throw ArgumentError("deepcopy: expected a generator") }
        call.returns(generator.copy(), generatorKind)
      },
      // copy_optimizer(optimizer, parameters), of all groups one after the other.
      "copy_optimizer": native("deepcopy") { call in
        guard let optimizer = call.object(1, optimizerKind) else { throw ArgumentError("deepcopy: expected an optimizer") }
        call.returns(try optimizer.copy(of: Autograd.tensors(call[2], "deepcopy")), optimizerKind)
      },
      // copy_scheduler(scheduler, optimizer)
      "copy_scheduler": NativeFunction("deepcopy") { call in
        guard let scheduler = call.object(1, schedulerKind), let optimizer = call.object(2, optimizerKind) else {
          throw ArgumentError("deepcopy: expected a scheduler and an optimizer")
        }
        // A function of a script's belongs to the scheduler that it was given to.
        guard !scheduler.hasFunctions else {
          throw ArgumentError(
            "deepcopy: a \(scheduler.kind.name) calls a function of the script's and cannot be copied; make another, and load the state_dict() of this one"
          )
        }
        call.returns(scheduler.copy(of: optimizer), schedulerKind)
      },
    ]
  }
}
