// What every state is given alike, made once for the process: opening a session is then a matter of handing it to Lua.

import LuaRuntime
import Tensors
import Training

/// The functions that hold descriptions of operations, which nobody changes, and nothing of a state's, so that states may share them, also
/// on several threads at a time. What knows a state's modules is made for each: see `ModuleLibrary`.
struct CommonFunctions: @unchecked Sendable {
  static let all = CommonFunctions()

  /// Each tells a state of a kind of handles.
  let kinds: [(State) throws -> Void]
  /// The same of tensors of a batch, for the first vmap.
  let batches: (State) throws -> Void
  /// What is in `mg`, but for `nn`, and in `nn`, but for layers that take modules.
  let fields: [(key: Value, value: Value)]
  let moduleFields: [(key: Value, value: Value)]
  /// What the chunks in Lua/ are built on.
  let primitives: [(key: Value, value: Value)]

  private init() {
    let operations = OperationFunctions(Catalogue.operations + Construction.list)
    let initializers = OperationFunctions(Initializer.operations)
    let utilities = OperationFunctions(GradientUtilities.operations)

    batches = CommonFunctions.definition(batchedKind, Batches.members(operations))
    kinds = [
      CommonFunctions.definition(tensorKind, TensorMembers.members(operations)),
      CommonFunctions.definition(nodeKind, NodeMembers.members),
      CommonFunctions.definition(scopeKind, Autograd.scopeMembers),
      CommonFunctions.definition(hookKind, Hooks.members),
      CommonFunctions.definition(schedulerKind, Schedulers.members),
      CommonFunctions.definition(metricKind, Metrics.members),
      CommonFunctions.definition(callMeterKind, HandleMembers()),
      CommonFunctions.definition(writerKind, Loggers.writerMembers),
      CommonFunctions.definition(csvLoggerKind, Loggers.csvMembers),
      CommonFunctions.definition(safetensorsKind, Checkpoints.members),
      CommonFunctions.definition(generatorKind, RandomStates.members),
      CommonFunctions.definition(tableKind, TableFunctions.members),
      CommonFunctions.definition(guardKind, ModuleLibrary.guardMembers),
      CommonFunctions.definition(watchKind, ModuleLibrary.watchMembers),
      CommonFunctions.definition(unfreezeScheduleKind, ModuleLibrary.unfreezeScheduleMembers),
    ]
    let primitives = [
      Modules.primitives, Library.primitives, CustomFunctions.primitives, Graphviz.primitives, ForwardModes.primitives, Batches.primitives,
      Schedulers.primitives, Loggers.primitives, FileFunctions.primitives, TableFunctions.primitives, ChartFunctions.primitives,
      Packing.primitives, Experiments.primitives, DataLoading.primitives, Copies.primitives,
      ModuleLibrary.primitives, ModuleLibrary.freezingPrimitives, ModuleLibrary.adapterPrimitives, Checkpoints.primitives,
    ].reduce(into: [:]) { $0.merge($1) { $1 } }
    self.primitives = CommonFunctions.fields(primitives)

    let top = operations.functions.merging(Library.functions) { $1 }.merging(Autograd.modes) { $1 }.merging(RandomStates.functions) { $1 }
    fields =
      CommonFunctions.fields(top) + operations.tables.map { (.string($0.key), .record(CommonFunctions.fields($0.value))) } + [
        (.string("optim"), .record(CommonFunctions.fields(Optimizers.constructors))),
        (.string("metrics"), .record(Metrics.constructors)),
        (.string("autograd"), .record(CommonFunctions.fields(Autograd.functions))),
        (.string("_VERSION"), .string("Moongrad \(Library.version)")), (.string("pi"), .number(Double.pi)),
        (.string("inf"), .number(.infinity)), (.string("nan"), .number(.nan)),
      ] + DType.allCases.filter { top[$0.description] == nil }.map { (.string($0.description), .string($0.description)) }
    moduleFields =
      Modules.constructors + [
        (.string("Parameter"), .native(Modules.parameter)),
        (.string("functional"), .record(CommonFunctions.fields(operations.functional))),
        (.string("init"), .record(CommonFunctions.fields(initializers.functions))),
        (.string("utils"), .record(CommonFunctions.fields(utilities.functions))),
      ]
  }

  private static func definition<Object>(_ kind: HandleKind<Object>, _ members: HandleMembers) -> (State) throws -> Void {
    { state in try state.define(kind, members) }
  }

  private static func fields(_ functions: [String: NativeFunction]) -> [(key: Value, value: Value)] {
    functions.map { (.string($0.key), .native($0.value)) }
  }
}
