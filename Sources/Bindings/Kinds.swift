// The classes that scripts hold handles of, and what every native function of ours does first and last.

import Files
import LuaRuntime
import Tensors
import Training

/// Tensors, nodes of the graph, modules, optimizers.
public let tensorKind = HandleKind<Tensor>("Tensor")
/// A node of the graph; always the same value for the same node.
public let nodeKind = HandleKind<Node>("Node", unique: true)
/// A module.
public let moduleKind = HandleKind<Module>("Module")
/// An optimizer.
public let optimizerKind = HandleKind<Optimizer>("Optimizer")
/// A learning-rate scheduler.
public let schedulerKind = HandleKind<Scheduler>("Scheduler")
/// A metric.
public let metricKind = HandleKind<Metric>("Metric")
let writerKind = HandleKind<SummaryWriter>("SummaryWriter")
let watchKind = HandleKind<Watch>("Watch")
let callMeterKind = HandleKind<CallMeter>("CallMeter")
let unfreezeScheduleKind = HandleKind<UnfreezeSchedule>("UnfreezeSchedule")
let guardKind = HandleKind<ParameterGuard>("Guard")
let csvLoggerKind = HandleKind<CSVLogger>("CSVLogger")
/// A tensor after `free()`.
let freedKind = HandleKind<Tensor>("freed tensor")
let generatorKind = HandleKind<Generator>("Generator")
let groupKind = HandleKind<Optimizer.Group>("ParameterGroup")
let scopeKind = HandleKind<Scope>("Scope")

extension TensorError: LuaErrorConvertible {
  /// Dimensions and indices count from 1 in scripts.
  public var luaMessage: String { message(indexBase: 1) }
  /// `memory` where memory was short, else `runtime`.
  public var luaKind: LuaError.Kind { kind == .memory ? .memory : .runtime }
}

/// A mistake in a call: the function, the argument, what was expected and what came.
struct ArgumentError: LuaErrorConvertible, CustomStringConvertible {
  let luaMessage: String
  var description: String { luaMessage }

  init(_ message: String) { luaMessage = message }
}

/// Runs what reads or writes files for the function of that name, which its errors begin with.
func named<Result>(_ name: String, _ body: () throws -> Result) throws -> Result {
  do { return try body() } catch let error as FileError { throw ArgumentError("\(name): \(error)") }
}

/// A native function that runs under the modes of the calling coroutine.
func native(_ name: String, _ body: @escaping (inout Call) throws -> Void) -> NativeFunction {
  NativeFunction(name) { call in
    let entered = Site.enterCall(call.caller, modes: UInt32(truncatingIfNeeded: call.word))
    defer { Site.leaveCall(entered.outer) }
    if entered.hasNotices { call.state.giveNotice() }
    try body(&call)
  }
}

extension Call {
  /// Returns a tensor, and tells the collector what it holds.
  @inline(__always)
  mutating func returns(tensor: Tensor) {
    pace(bytes: tensor.storage.byteCount &+ 256)
    returns(tensor, tensor.extras == nil || tensor.batch.isEmpty ? tensorKind : batchedKind)
  }

  mutating func returns(tensor: Tensor?) {
    if let tensor { returns(tensor: tensor) } else { returnsNil() }
  }

  /// Returns an operation's output; positions are shown from 1.
  mutating func returns(_ output: Output) throws {
    switch output {
    case .tensor(let tensor): returns(tensor: tensor)
    case .indices(let tensor): returns(tensor: try shifted(tensor, by: 1))
    case .several(let outputs): for output in outputs { try returns(output) }
    case .list(let tensors):
      returnsList(tensors.count)
      for tensor in tensors { returns(tensor: tensor) }
    case .boolean(let flag): returns(flag)
    case .number(let number): returns(scalar: number)
    case .dtype(let dtype): returns(dtype.description)
    }
  }

  mutating func returns(scalar: Scalar) {
    switch scalar {
    case .integer(let value): returns(Int(value))
    case .real(let value): returns(value)
    case .boolean(let value): returns(value)
    }
  }
}

extension Call {
  /// Returns what a loop `for row in x:iter()` calls for each of its rows.
  mutating func returns(rows count: Int, _ row: @escaping (Int) throws -> Tensor) {
    var next = 0
    returns(
      .native(
        Bindings.native("iter") { call in
          guard next < count else { return call.returnsNil() }
          call.returns(tensor: try row(next))
          next += 1
        }))
  }
}

/// Positions moved between the two bases: from 0 to 1 for results, where negatives do not occur.
func shifted(_ indices: Tensor, by step: Int64) throws -> Tensor {
  try withNoGrad { try Binary.add(indices, .integer(step)) }.inBatch(indices.batch)
}
