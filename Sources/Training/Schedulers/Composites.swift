// Schedules made of others: one after the other, and one on top of the other.

enum Composites {
  static let kinds: [SchedulerKind] = [
    SchedulerKind(
      "SequentialLR", "Schedulers one after the other.",
      [
        .schedulers("schedulers of the same optimizer, in order"),
        .counts("milestones", "the epochs at which the next begins: one fewer than there are schedulers"),
      ], form: .sequential, samples: [], prepare: prepareSequence, advance: advanceSequence),
    SchedulerKind(
      "ChainedScheduler", "Schedulers that all step at once, each from the rates that the one before it leaves.",
      [.schedulers("schedulers of one optimizer, in order")], form: .chained, samples: [],
      prepare: { s in
        try takeSchedulers(s)
        s.state["_last_lr"] = .numbers(try s.rates)
      },
      advance: { s, _ in
        for scheduler in s.schedulers { try scheduler.step() }
        s.state["_last_lr"] = .numbers(try s.rates)
      }),
  ]

  private static func takeSchedulers(_ s: Scheduler) throws {
    let list = (s.options["schedulers"]?.list ?? []).compactMap { if case .scheduler(let scheduler) = $0 { scheduler } else { nil } }
    for (position, scheduler) in list.enumerated() {
      if scheduler.kind.takesMetric {
        throw s.error("scheduler \(index: position) is a \(scheduler.kind.name), which needs a number at each step; step it by itself")
      }
      if scheduler.optimizer !== s.optimizer {
        throw s.error("scheduler \(index: position) is one of another optimizer; all must belong to one")
      }
    }
    s.schedulers = list
  }

  private static func prepareSequence(_ s: Scheduler) throws {
    try takeSchedulers(s)
    let milestones = try s.integers("milestones")
    guard milestones.count == s.schedulers.count - 1 else {
      throw s.error("milestones must have one number fewer than there are schedulers: \(s.schedulers.count - 1), got \(milestones.count)")
    }
    guard milestones == milestones.sorted() else {
      throw s.error("milestones must rise, got \(SchedulerValue.list(milestones.map { .integer($0) }).found)")
    }
    s.state["_milestones"] = .list(milestones.map(SchedulerValue.integer))
    s.lastEpoch = try s.integer("last_epoch") + 1
    // What the schedulers did when they were made is taken back; the first begins again.
    for group in s.optimizer.groups { if let rate = group["initial_lr"] { group.setScheduled("lr", rate) } }
    for scheduler in s.schedulers { takeBack(scheduler) }
    let first = s.schedulers[milestones.count { $0 <= 0 }]
    try first.initialStep()
    s.state["_last_lr"] = .numbers(first.lastRates)
    s.options = [:]
  }

  private static func takeBack(_ s: Scheduler) {
    if s.schedulers.isEmpty { s.lastEpoch -= 1 } else { for scheduler in s.schedulers { takeBack(scheduler) } }
  }

  private static func advanceSequence(_ s: Scheduler, _: Double?) throws {
    s.lastEpoch += 1
    let milestones = try s.integers("_milestones")
    let position = min(milestones.count { $0 <= s.lastEpoch }, s.schedulers.count - 1)
    let scheduler = s.schedulers[position]
    if position > 0, milestones[position - 1] == s.lastEpoch {
      try scheduler.update(to: 0)
    } else {
      try scheduler.step()
    }
    s.state["_last_lr"] = .numbers(scheduler.lastRates)
  }
}
