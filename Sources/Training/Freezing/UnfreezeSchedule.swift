// Unfreezing by epochs: what is due, in its turn.

import Tensors

/// Lets parts of a model be trained again as epochs go by: gradual unfreezing, as J. Howard and S. Ruder do it (Universal Language Model
/// Fine-tuning for Text Classification, ACL 2018), or in any other order.
///
/// ```swift
/// try model.freeze()
/// let schedule = try UnfreezeSchedule(model, topDownEvery: 2, optimizer: optimizer)
/// for epoch in 1...10 {
///   for report in try schedule.step(epoch: epoch) { print(report) }
///   // … train …
/// }
/// ```
public final class UnfreezeSchedule {
  private let module: Module
  /// What is still to come, soonest first.
  private var plan: [(epoch: Double, selection: ParameterSelection)]
  private let optimizer: Optimizer?
  private let policy: UnfreezePolicy

  /// How much is still to come.
  public var pending: Int { plan.count }

  /// What is unfrozen at which epoch. `optimizer` and `policy` are those of ``Module/unfreeze(_:optimizer:policy:)``.
  ///
  /// Throws where a pattern matches nothing in the model, before anything is trained.
  public init(
    _ module: Module, _ plan: [(epoch: Double, selection: ParameterSelection)], optimizer: Optimizer? = nil, policy: UnfreezePolicy = .keep
  ) throws {
    for (_, selection) in plan {
      if case .matching = selection {} else { _ = try module.selected(selection, "unfreeze_schedule", modulesDo: true) }
    }
    self.module = module
    // In the order given where epochs are the same.
    self.plan = plan.enumerated().sorted { ($0.element.epoch, $0.offset) < ($1.element.epoch, $1.offset) }.map(\.element)
    self.optimizer = optimizer
    self.policy = policy
  }

  /// Block by block from the last to the first: the direct children that have parameters, one at the epoch `start` and one more whenever
  /// `interval` epochs have passed.
  public convenience init(
    _ module: Module, topDownEvery interval: Double, from start: Double = 1, optimizer: Optimizer? = nil, policy: UnfreezePolicy = .keep
  ) throws {
    guard interval > 0, interval.isFinite, start.isFinite else {
      throw TensorError(.argument, "unfreeze_schedule", "every must be a positive number of epochs, got \(pythonNumber(interval))")
    }
    let blocks = module.ownChildren.filter { !$0.module.namedParameters().isEmpty }
    guard !blocks.isEmpty else {
      throw TensorError(.argument, "unfreeze_schedule", TensorError.Facts("the \(module.kind) has no blocks with parameters"))
    }
    try self.init(
      module, blocks.reversed().enumerated().map { (start + Double($0.offset) * interval, .modules([$0.element.module])) },
      optimizer: optimizer, policy: policy)
  }

  /// Unfreezes what is due by this epoch and was not yet, and says what that was.
  @discardableResult
  public func step(epoch: Double) throws -> [FreezeReport] {
    var reports: [FreezeReport] = []
    while let next = plan.first, next.epoch <= epoch {
      // What fails is still to come.
      reports.append(try module.unfreeze(next.selection, optimizer: optimizer, policy: policy))
      plan.removeFirst()
    }
    return reports
  }

  /// The same for whole epochs.
  @discardableResult
  public func step(epoch: Int) throws -> [FreezeReport] { try step(epoch: Double(epoch)) }
}
