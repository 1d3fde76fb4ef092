// What a tensor shows to scripts beside the operations: properties, indexing, reading values out, the graph.

import LuaRuntime
import Tensors

enum TensorMembers {
  static func members(_ operations: OperationFunctions) -> HandleMembers {
    var members = HandleMembers()
    members.methods = operations.methods.merging(methods) { _, own in own }
    members.getters = getters
    members.setters = setters
    members.metamethods = OperationFunctions.operators
    let names = Array(members.methods.keys) + Array(members.getters.keys)
    members.reading = native("index") { call in
      let x = try call.tensor(1, "index")
      if let name = call.string(2), name != "..." {
        let hint = nearest(name, names).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError("a tensor has no field or method '\(name)'\(hint)")
      }
      try Indexing.read(&call, x)
    }
    members.writing = native("index assignment") { call in
      let x = try call.tensor(1, "index assignment")
      if let name = call.string(2), name != "..." {
        let hint = nearest(name, Array(setters.keys)).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError(
          "the field '\(name)' of a tensor cannot be assigned\(hint) (assignable: \(setters.keys.sorted().joined(separator: ", ")))")
      }
      try Indexing.write(&call, x)
    }
    return members
  }

  // MARK: Properties

  private static var getters: [String: NativeFunction] {
    [
      "shape": native("shape") { call in
        let x = try call.tensor(1, "shape")
        try call.returns(sizes: x.shape.array)
      },
      "device": NativeFunction("device") { call in call.returns("cpu") },
      "dtype": native("dtype") { call in call.returns(try call.tensor(1, "dtype").dtype.description) },
      "nbytes": native("nbytes") { call in
        let x = try call.tensor(1, "nbytes")
        call.returns(x.count &* x.dtype.size)
      },
      "itemsize": native("itemsize") { call in call.returns(try call.tensor(1, "itemsize").dtype.size) },
      "ndim": native("ndim") { call in call.returns(try call.tensor(1, "ndim").rank) },
      // Looking at a view that a write has made unusable is no use of it.
      "requires_grad": native("requires_grad") { call in
        let x = try call.tensor(1, "requires_grad")
        call.returns(withNoGrad { x.requiresGrad })
      },
      "is_leaf": native("is_leaf") { call in
        let x = try call.tensor(1, "is_leaf")
        call.returns(withNoGrad { x.isLeaf })
      },
      "is_parameter": native("is_parameter") { call in call.returns(try call.tensor(1, "is_parameter").isParameter) },
      "retains_grad": native("retains_grad") { call in call.returns(try call.tensor(1, "retains_grad").retainsGrad) },
      "grad": native("grad") { call in
        let x = try call.tensor(1, "grad")
        if x.grad == nil, x.node != nil, !x.retainsGrad {
          call.state.warnOnce(
            "the .grad of a tensor that is not a leaf is nil: only leaves receive gradients; call retain_grad() on it before backward() to keep it"
          )
        }
        call.returns(tensor: x.grad)
      },
      "grad_fn": native("grad_fn") { call in
        let x = try call.tensor(1, "grad_fn")
        _ = try x.feeds()
        if let node = x.gradNode { call.returns(node, nodeKind) } else { call.returnsNil() }
      },
      "data": native("data") { call in call.returns(tensor: try call.tensor(1, "data").uncountedData) },
      "T": native("T") { call in
        let x = try call.tensor(1, "T")
        call.returns(tensor: try x.permute(Array((0..<x.rank).reversed())))
      },
      "mT": native("mT") { call in call.returns(tensor: try call.tensor(1, "mT").transpose(-2, -1)) },
      "_version": native("_version") { call in call.returns(try call.tensor(1, "_version").version) },
      "_base": native("_base") { call in call.returns(tensor: try call.tensor(1, "_base").base) },
    ]
  }

  private static var setters: [String: NativeFunction] {
    [
      "requires_grad": native("requires_grad") { call in
        guard let flag = call.boolean(3) else {
          throw ArgumentError("requires_grad: expected true or false, got \(Decoder.found(call[3]))")
        }
        let x = try call.tensor(1, "requires_grad")
        // The method takes true where it holds already; an assignment to what was computed is a mistake, as in PyTorch.
        if let node = withNoGrad({ x.gradNode }) {
          throw TensorError(
            .autograd, "requires_grad",
            "only a leaf tensor's flag can be assigned, but this one was computed by \(node.name); use detach() for a leaf that shares its values"
          )
        }
        try x.setRequiresGrad(flag)
      },
      "grad": native("grad") { call in
        let x = try call.tensor(1, "grad")
        if call.isNil(3) { return try x.setGrad(nil) }
        guard let gradient = call.object(3, tensorKind) else {
          throw ArgumentError("grad: expected a tensor or nil, got \(Decoder.found(call[3]))")
        }
        try x.setGrad(gradient)
      },
      "data": native("data") { call in
        guard let source = call.object(3, tensorKind) else {
          throw ArgumentError("data: expected a tensor, got \(Decoder.found(call[3]))")
        }
        try call.tensor(1, "data").setData(source)
      },
    ]
  }

  // MARK: Methods

  /// A method with at most `count` arguments beside the tensor.
  private static func method(
    _ name: String, _ count: Int = 0, _ body: @escaping (inout Call, Tensor) throws -> Void
  ) -> (String, NativeFunction) {
    let function = native(name) { call in
      let x = try call.tensor(1, name)
      guard call.count <= count + 1 else {
        throw ArgumentError(
          "\(name): \(call.count - 1) argument\(call.count == 2 ? "" : "s") given, but it takes \(count == 0 ? "none" : "at most \(count)")"
        )
      }
      try body(&call, x)
    }
    return (name, function)
  }

  private static var methods: [String: NativeFunction] {
    Dictionary(
      uniqueKeysWithValues: [
        method("item") { call, x in call.returns(scalar: try x.item()) },
        method("tolist") { call, x in
          // Empty lists count too, of which an expanded tensor may have any number.
          let most = x.shape.array.reduce(1) {
            Swift.max($1, 1).multipliedReportingOverflow(by: $0).overflow ? .max : Swift.max($1, 1) * $0
          }
          // On the way and in the table.
          try Context.checkRoom(for: "a tensor of shape \(x.shape) as a table needs", "tolist", count: most, bytesOfEach: 32)
          try toList(&call, x, 0, 0)
        },
        method("numel") { call, x in call.returns(x.count) },
        method("nelement") { call, x in call.returns(x.count) },
        method("new_tensor", 1) { call, x in
          call.returns(tensor: try Bindings.tensor(from: call[2], dtype: x.dtype, "new_tensor"))
        },
        method("ndimension") { call, x in call.returns(x.rank) },
        method("cpu") { call, _ in call.returnsArgument(1) },
        method("dim") { call, x in call.returns(x.rank) },
        method("size", 1) { call, x in
          if call.isNil(2) { return try call.returns(sizes: x.shape.array) }
          guard let dimension = call.integer(2) else {
            throw ArgumentError("size: expected a dimension (a whole number), got \(Decoder.found(call[2]))")
          }
          let axis = try x.shape.axis(Decoder.zeroBased(dimension, what: "dimensions", "size"), "size")
          guard x.rank > 0 else { throw ArgumentError("size: a tensor of rank 0 has no dimensions") }
          call.returns(x.shape[axis])
        },
        method("stride", 1) { call, x in
          if call.isNil(2) { return try call.returns(sizes: x.layout.strideArray) }
          guard let dimension = call.integer(2), x.rank > 0 else {
            throw ArgumentError("stride: expected a dimension (a whole number), got \(Decoder.found(call[2]))")
          }
          call.returns(x.layout.strides[try x.shape.axis(Decoder.zeroBased(dimension, what: "dimensions", "stride"), "stride")])
        },
        method("storage_offset") { call, x in call.returns(x.layout.offset) },
        method("is_contiguous") { call, x in call.returns(x.isContiguous) },
        method("element_size") { call, x in call.returns(x.dtype.size) },
        method("data_ptr") { call, x in call.returns(Int(bitPattern: x.data)) },
        method("is_floating_point") { call, x in call.returns(x.dtype.isFloating) },
        method("detach") { call, x in call.returns(tensor: x.detach()) },
        method("detach_") { call, x in
          try x.detachInPlace()
          call.returnsArgument(1)
        },
        method("requires_grad_", 1) { call, x in
          guard call.isNil(2) || call.boolean(2) != nil else {
            throw ArgumentError("requires_grad_: expected true or false, got \(Decoder.found(call[2]))")
          }
          try x.setRequiresGrad(call.boolean(2) ?? true)
          call.returnsArgument(1)
        },
        method("retain_grad") { call, x in
          try x.retainGrad()
        },
        method("backward", 4) { call, x in try Autograd.backward(&call, x) },
        method("register_hook", 1) { call, x in try Hooks.register(&call, x, afterAccumulation: false) },
        method("register_post_accumulate_grad_hook", 1) { call, x in try Hooks.register(&call, x, afterAccumulation: true) },
        method("equal", 1) { call, x in
          call.returns(try x.equal(call.tensor(2, "equal")))
        },
        ("allclose", allClose(isMethod: true)),
        method("to", 2) { call, x in call.returns(tensor: try x.to(Devices.dtype(call) ?? x.dtype)) },
        method("cuda", 1) { _, _ in throw Devices.refusal("cuda", "cuda") },
        method("iter") { call, x in
          guard x.rank > 0 else { throw ArgumentError("iter: a tensor of rank 0 has no rows; its value is x:item()") }
          call.returns(rows: x.shape[0]) { try x.select(0, $0) }
        },
        method("type", 1) { call, x in
          guard let name = call.string(2) else { return call.returns(x.dtype.typeName) }
          let dtype = DType.allCases.first { $0.typeName == name }
          call.returns(tensor: try x.to(dtype ?? DType(named: name)))
        },
        method("type_as", 1) { call, x in call.returns(tensor: try x.to(call.tensor(2, "type_as").dtype)) },
        method("why", 1) { call, x in
          if call.isNil(2) { return call.returns(x.why()) }
          call.returns(x.why(try call.tensor(2, "why")))
        },
        method("is_inference") { call, x in call.returns(x.storage.isInference) },
        method("free") { call, x in
          x.free()
          call[1].retire(as: freedKind)
        },
        method("view_as", 1) { call, x in call.returns(tensor: try x.view(call.tensor(2, "view_as").shape.array)) },
        method("expand_as", 1) { call, x in call.returns(tensor: try x.expand(call.tensor(2, "expand_as").shape.array)) },
        method("reshape_as", 1) { call, x in call.returns(tensor: try x.reshape(call.tensor(2, "reshape_as").shape.array)) },
      ] + DType.allCases.map { dtype in method(dtype.shortName) { call, x in call.returns(tensor: try x.to(dtype)) } })
  }

  /// Nested lists of numbers, or the number itself for rank 0.
  private static func toList(_ call: inout Call, _ x: Tensor, _ dimension: Int, _ position: Int) throws {
    if dimension == x.rank { return call.returns(scalar: x.element(position)) }
    let size = x.shape[dimension]
    call.returnsList(size)
    for index in 0..<size {
      if index & 0xfff == 0 { try Context.checkStop() }
      try toList(&call, x, dimension + 1, position * size + index)
    }
  }

  /// `x:allclose(other, rtol, atol)` or `mg.allclose(x, other, { rtol, atol })`.
  static func allClose(isMethod: Bool) -> NativeFunction {
    let decoder = Decoder(
      "allclose",
      [.input, .init("other", .tensor), .init("rtol", .number, default: "1e-05"), .init("atol", .number, default: "1e-08")],
      isMethod: isMethod)
    return native("allclose") { call in
      let arguments = try decoder.decode(call)
      let (rtol, atol) = (try arguments.number(2, default: 1e-5), try arguments.number(3, default: 1e-8))
      call.returns(try arguments.tensor(0).allClose(arguments.tensor(1), rtol: rtol, atol: atol))
    }
  }
}

extension DType {
  /// What PyTorch calls a tensor of it, `torch.FloatTensor`.
  fileprivate var typeName: String {
    self == .bfloat16 ? "torch.BFloat16Tensor" : "torch.\(shortName.prefix(1).uppercased())\(shortName.dropFirst())Tensor"
  }
}
