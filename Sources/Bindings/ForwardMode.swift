// Forward mode in scripts: what func.lua makes jvp, jacfwd and mg.autograd.forward_ad of.

import LuaRuntime
import Tensors

enum ForwardModes {
  static var primitives: [String: NativeFunction] {
    [
      // open_level(): a guard; until it is closed, tensors may have tangents.
      "open_level": native("dual_level") { call in
        try call.returns(scope: "autograd.forward_ad.dual_level") { call in
          let before = call.word
          let level = ForwardMode.open()
          call.word = before | UInt64(GradMode.forward)
          return { call in
            call.word = before
            ForwardMode.close(level)
          }
        }
      },
      // make_dual(tensor, tangent): a view that has a tangent at the innermost level.
      "make_dual": native("make_dual") { call in
        var (primal, tangent) = (try call.anyTensor(1, "make_dual"), try call.anyTensor(2, "make_dual"))
        if primal.batch != tangent.batch { (primal, tangent) = (try Batching.spread(primal), try Batching.spread(tangent)) }
        guard let level = ForwardMode.innermost else {
          throw ArgumentError("make_dual: no level is open; write  local _ <close> = mg.autograd.forward_ad.dual_level()  before it")
        }
        call.returns(tensor: try ForwardMode.dual(primal, tangent, at: level).inBatch(primal.batch))
      },
      // unpack_dual(tensor): the tensor without its tangent at the innermost level, and that or nil.
      "unpack_dual": native("unpack_dual") { call in
        let dual = try call.anyTensor(1, "unpack_dual")
        guard let level = ForwardMode.innermost else {
          call.returns(tensor: dual)
          return call.returnsNil()
        }
        let (primal, tangent) = try ForwardMode.unpack(dual, at: level)
        call.returns(tensor: primal === dual ? dual : primal.inBatch(dual.batch))
        if let tangent { call.returns(tensor: try tangent.marked(dual.batch)) } else { call.returnsNil() }
      },
      // without_history(tensor): detached, with the tangents that it has.
      "without_history": native("without_history") { call in
        let x = try call.anyTensor(1, "without_history")
        call.returns(tensor: try x.detachedWithTangents().inBatch(x.batch))
      },
    ]
  }
}
