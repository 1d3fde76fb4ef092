// Lua functions that the tape calls: hooks and the gradients of custom functions.

import LuaRuntime
import Tensors

/// A function of a script, called by a backward run or by recording.
struct ScriptFunction {
  private let name: String
  private let function: ([Value]) throws -> [Value]
  // A tensor may outlive the state whose script hooked it.
  private weak var state: State?

  /// Takes a call's argument; throws when that is no function.
  init(_ name: String, _ call: borrowing Call, _ position: Int, what: String = "a function") throws {
    guard case .function(let function) = try call.value(position) else {
      throw ArgumentError("\(name): expected \(what), got \(Decoder.found(call[position]))")
    }
    self.name = name
    self.function = { try function.call($0) }
    state = call.state
  }

  /// The same for a function that a hook of argument 1, a tensor, calls: one that refers to this tensor alone does not keep it.
  init(hookOf x: Tensor, _ name: String, _ call: borrowing Call, _ position: Int) throws {
    guard call.type(position) == .function else {
      throw ArgumentError("\(name): expected a function, got \(Decoder.found(call[position]))")
    }
    let function = try AttachedFunction(call, function: position, to: 1, part: x.gradNode)
    self.name = name
    self.function = { try function.call($0) }
    state = call.state
  }

  /// The same for a function that the object of argument 1, a handle, keeps: one that refers to this handle alone does not
  /// keep it.
  init(keptBy handle: Int, _ name: String, _ call: borrowing Call, _ position: Int, what: String = "a function") throws {
    guard call.type(position) == .function else {
      throw ArgumentError("\(name): expected \(what), got \(Decoder.found(call[position]))")
    }
    let function = try AttachedFunction(call, function: position, to: handle)
    self.name = name
    self.function = { try function.call($0) }
    state = call.state
  }

  /// Calls it in the mode of whoever calls: in a backward run, recording only when a graph of gradients is made.
  func call(_ arguments: [Value]) throws -> [Value] {
    guard let state else { throw LuaError("\(name): the session of the function is closed") }
    let (word, bits, caller) = (state.word, GradMode.bits, Site.caller)
    defer {
      state.word = word
      GradMode.bits = bits
      Site.caller = caller
    }
    state.word = UInt64(bits)
    return try function(arguments)
  }
}

/// The hooks of a tensor that was computed are its node's.
extension Tensor: PartOwner {
  /// Whether this tensor alone has that node, so that its hooks can go with it.
  public func isSoleOwner(ofPartAt address: UnsafeRawPointer) -> Bool {
    let isCurrent = node.map { Unmanaged.passUnretained($0).toOpaque() == address } ?? false
    return isCurrent && isSoleOwnerOfNode
  }
}

extension Value {
  /// A tensor, or nil.
  static func tensor(_ tensor: Tensor?) -> Value { tensor.map { .object($0, tensorKind) } ?? .nil }

  /// A list of gradients. Nil where none arrived would end a Lua list, so the list says its length: `n`.
  static func gradients(_ list: [Tensor?]) -> Value {
    var fields: [(key: Value, value: Value)] = [(.string("n"), .integer(list.count))]
    for (index, tensor) in list.enumerated() where tensor != nil { fields.append((.integer(index + 1), .tensor(tensor))) }
    return .record(fields)
  }

  var tensor: Tensor? {
    if case .handle(let handle) = self { return handle.object(tensorKind) }
    return nil
  }

  var isNil: Bool {
    if case .nil = self { return true }
    return false
  }
}
