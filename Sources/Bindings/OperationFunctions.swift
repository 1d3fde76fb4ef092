// The catalogue of operations as Lua functions, methods, in-place methods and operators.

import LuaRuntime
import Tensors

/// Lua functions made from operations, by where they go.
struct OperationFunctions {
  /// `mg.name`, `x:name`, `F.name`.
  var functions: [String: NativeFunction] = [:]
  var methods: [String: NativeFunction] = [:]
  var functional: [String: NativeFunction] = [:]
  /// `mg.linalg.name`, by table: of names such as `linalg.name`, which are neither methods nor in F.
  var tables: [String: [String: NativeFunction]] = [:]

  init(_ operations: [TensorOperation]) {
    for operation in operations {
      let (tabled, names) = operation.namesByPlace
      if operation.forms.contains(.function) {
        let function = OperationFunctions.function(operation, isMethod: false)
        for name in names { functions[name] = function }
        for name in tabled {
          let parts = name.split(separator: ".").map(String.init)
          // Of functions of F that a method has the name of.
          if parts[0] == "functional" {
            functional[parts[1]] = function
            continue
          }
          tables[parts[0], default: [:]][parts[1]] = function
        }
      }
      if operation.forms.contains(.functional) {
        let function =
          OperationFunctions.writable.contains(operation.name)
          ? OperationFunctions.writing(operation)
          : names.first.flatMap { functions[$0] } ?? OperationFunctions.function(operation, isMethod: false)
        for name in names { functional[name] = function }
      }
      if operation.forms.contains(.method) {
        let function = OperationFunctions.function(operation, isMethod: true)
        for name in names { methods[name] = function }
      }
      if !operation.forms.isDisjoint(with: [.inPlace, .inPlaceView]) {
        let function = OperationFunctions.inPlace(operation)
        for name in names { methods[name + "_"] = function }
      }
    }
    for (name, plain) in Special.names { if let function = functions[plain] { tables["special", default: [:]][name] = function } }
  }

  private static func function(_ operation: TensorOperation, isMethod: Bool) -> NativeFunction {
    let decoder = Decoder(operation.name, operation.parameters, isMethod: isMethod, takesBatches: true)
    if let unary = operation.unary {
      return native(operation.name) { call in
        guard call.count == 1, let x = call.unmanaged(1, tensorKind) else {
          return try run(operation, decoder, &call)
        }
        call.returns(tensor: try x._withUnsafeGuaranteedRef { try unary($0) })
      }
    }
    if let binary = operation.binary {
      return native(operation.name) { call in
        guard call.count == 2, let x = call.unmanaged(1, tensorKind), let y = call.unmanaged(2, tensorKind) else {
          return try run(operation, decoder, &call)
        }
        call.returns(tensor: try binary.applied(x, y))
      }
    }
    return native(operation.name) { call in
      if decoder.isPlain(call), !BatchLevels.areInForce {
        try call.returns(operation.body { try decoder.argument(call, $0) })
      } else {
        try run(operation, decoder, &call)
      }
    }
  }

  private static func run(_ operation: TensorOperation, _ decoder: Decoder, _ call: inout Call) throws {
    let arguments = try decoder.decode(call)
    if BatchLevels.areInForce { return try call.run(batched: operation, arguments) }
    try call.returns(operation.run(arguments))
  }

  /// `x:name_(…)`: returns `x` itself.
  private static func inPlace(_ operation: TensorOperation) -> NativeFunction {
    let name = operation.name + "_"
    let decoder = Decoder(name, operation.parameters, isMethod: true, takesBatches: true)
    return native(name) { call in
      try runInPlace(operation, Arguments(name, try decoder.decode(call).values), call.state)
      call.returnsArgument(1)
    }
  }

  private static func runInPlace(_ operation: TensorOperation, _ arguments: Arguments, _ state: State) throws {
    guard BatchLevels.areInForce else {
      try operation.runInPlace(arguments)
      return
    }
    try Batching.runInPlace(operation, arguments) { Batches.warn($0, state) }
  }

  /// Functions of `F` that PyTorch lets write into their argument: `F.relu(x, { inplace = true })`.
  private static let writable: Set = [
    "relu", "relu6", "elu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "silu", "mish", "threshold", "celu", "selu",
  ]

  private static func writing(_ operation: TensorOperation) -> NativeFunction {
    let option = Parameter("inplace", .boolean, default: "false", namedOnly: true)
    let decoder = Decoder(operation.name, operation.parameters + [option], isMethod: false, takesBatches: true)
    let plain = Decoder(operation.name, operation.parameters, isMethod: false, takesBatches: true)
    return native(operation.name) { call in
      guard call.count > 1, call.type(call.count) == .table else {
        if let unary = operation.unary, call.count == 1, let x = call.object(1, tensorKind) { return call.returns(tensor: try unary(x)) }
        return try run(operation, plain, &call)
      }
      var values = try decoder.decode(call).values
      guard case .boolean(true) = values.removeLast() else {
        let arguments = Arguments(operation.name, values)
        if BatchLevels.areInForce { return try call.run(batched: operation, arguments) }
        return try call.returns(operation.run(arguments))
      }
      try runInPlace(operation, Arguments(operation.name + "_", values), call.state)
      call.returnsArgument(1)
    }
  }

  // MARK: Operators

  /// `a + b` and the like: tensors and numbers on either side.
  static func arithmetic(
    _ symbol: String, _ name: String, _ binary: Binary, number: @escaping (Tensor, Scalar) throws -> Tensor,
    reversed: @escaping (Scalar, Tensor) throws -> Tensor
  ) -> NativeFunction {
    native(symbol) { call in
      if let x = call.unmanaged(1, tensorKind) {
        if let y = call.unmanaged(2, tensorKind) { return call.returns(tensor: try binary.applied(x, y)) }
        if let y = call[2].scalar { return call.returns(tensor: try x._withUnsafeGuaranteedRef { try number($0, y) }) }
      } else if let x = call[1].scalar, let y = call.unmanaged(2, tensorKind) {
        return call.returns(tensor: try y._withUnsafeGuaranteedRef { try reversed(x, $0) })
      }
      if BatchLevels.areInForce, let a = operand(call[1]), let b = operand(call[2]) {
        return try call.run(batched: Batches.operation(name), Arguments(name, [a, b]))
      }
      let other = call.unmanaged(1, tensorKind) == nil && call[1].scalar == nil ? 1 : 2
      throw ArgumentError(
        "'\(symbol)' needs a tensor or a number on either side, got \(Decoder.found(call[other])) on the \(other == 1 ? "left" : "right")")
    }
  }

  private static func operand(_ slot: Slot) -> Argument? {
    if let tensor = slot.anyTensor { return .tensor(tensor) }
    return slot.scalar.map { .number($0) }
  }

  static var operators: [String: NativeFunction] {
    [
      "__add": arithmetic("+", "add", .add, number: { try Binary.add($0, $1) }, reversed: { try Binary.add($1, $0) }),
      "__sub": arithmetic("-", "sub", .sub, number: { try Binary.sub($0, $1) }, reversed: { try $1.subtracted(from: $0) }),
      "__mul": arithmetic("*", "mul", .mul, number: { try Binary.mul($0, $1) }, reversed: { try Binary.mul($1, $0) }),
      "__div": arithmetic("/", "div", .div, number: { try Binary.div($0, $1) }, reversed: { try $1.dividing($0) }),
      "__idiv": arithmetic(
        "//", "floor_divide", .floorDivide, number: { try Binary.floorDivide($0, $1) }, reversed: { try Binary.floorDivide($0, $1) }),
      "__mod": arithmetic(
        "%", "remainder", .remainder, number: { try Binary.remainder($0, $1) }, reversed: { try Binary.remainder($0, $1) }),
      "__pow": arithmetic("^", "pow", Power.tensorPower, number: { try Power.power($0, $1) }, reversed: { try Power.power($0, $1) }),
      "__unm": native("-") { call in
        guard let x = call.unmanaged(1, tensorKind) else {
          guard let x = call.anyTensor(1) else { throw ArgumentError("'-' needs a tensor") }
          return try call.run(batched: Batches.operation("neg"), Arguments("-", [.tensor(x)]))
        }
        call.returns(tensor: try x._withUnsafeGuaranteedRef { try Unary.neg($0) })
      },
      "__lt": comparison("<", "lt", "gt"), "__le": comparison("<=", "le", "ge"),
      "__call": native("call") { call in
        guard call.isNil(2) || call.type(2) != .table else {
          throw ArgumentError("a tensor was called with a table: x[[1]] is a call in Lua; write x[1], or x[{1, 2}] for several dimensions")
        }
        throw ArgumentError(
          "a tensor was called like a function; index it with x[i] or x[{i, j}], or call one of its methods with x:name()")
      },
      "__len": native("#") { call in
        if let x = call.object(1, batchedKind), let first = x.ownSizes.first { return call.returns(first) }
        let x = try call.tensor(1, "#")
        guard x.rank > 0 else { throw ArgumentError("#: a tensor of rank 0 has no length") }
        call.returns(x.shape[0])
      },
      "__tostring": native("tostring") { call in
        if let x = call.object(1, batchedKind) { return call.returns(Batches.text(x)) }
        let x = try call.tensor(1, "tostring")
        call.returns(withNoGrad { x.text(PrintOptions.current) })
      },
      "__concat": native("..") { call in
        func text(_ position: Int) throws -> String {
          if let tensor = call.object(position, tensorKind) { return tensor.text(PrintOptions.current) }
          if let text = call.string(position) { return text }
          if let number = call.integer(position), call[position].isInteger { return String(number) }
          if let number = call.number(position) { return "\(number)" }
          throw ArgumentError("'..' needs strings, numbers or tensors, got \(Decoder.found(call[position]))")
        }
        call.returns(try text(1) + text(2))
      },
    ]
  }

  /// Lua turns the results of `<` and `<=` into booleans, so a tensor cannot come of them.
  private static func comparison(_ symbol: String, _ method: String, _ reversed: String) -> NativeFunction {
    native(symbol) { _ in
      throw ArgumentError(
        "'\(symbol)' on tensors cannot give a tensor in Lua; write x:\(method)(y) (or x:\(reversed)(y) for the other direction)")
    }
  }
}

extension TensorOperation {
  /// Its names: those in tables, `linalg.inv`, and plain ones.
  var namesByPlace: (tabled: [String], plain: [String]) {
    let names = [name] + aliases
    return (names.filter { $0.contains(".") }, names.filter { !$0.contains(".") })
  }
}

extension Binary {
  /// The operation on two handles' tensors, which the call's stack keeps alive.
  @inline(__always)
  func applied(_ a: Unmanaged<Tensor>, _ b: Unmanaged<Tensor>) throws -> Tensor {
    try a._withUnsafeGuaranteedRef { a in try b._withUnsafeGuaranteedRef { b in try self(a, b) } }
  }
}

extension Call {
  /// The tensor at a position, or an error that names function and argument.
  func tensor(_ position: Int, _ name: String) throws -> Tensor {
    if let tensor = object(position, tensorKind) { return tensor }
    if self[position].object(freedKind) != nil { throw ArgumentError("\(name): the tensor's elements were released by free()") }
    if position == 1 {
      throw ArgumentError(
        "\(name): called on \(Decoder.found(self[1])) instead of a tensor; methods are called with ':', not '.': x:\(name)(…)")
    }
    throw ArgumentError("\(name): argument \(position - 1): expected a tensor, got \(Decoder.found(self[position]))")
  }
}
