// Schedules that rise and fall, and move the momentum the other way: one cycle, cycles, and the way to a fixed rate (SWA).

import Glibc

enum Cycles {
  static let kinds: [SchedulerKind] = [
    SchedulerKind(
      "OneCycleLR", "Up to max_lr and down to nearly nothing in a given number of steps; to be stepped after every batch.",
      [
        .perGroup("max_lr", nil, "the highest rate"),
        .count("total_steps", nil, from: 1, optional: true, "the length of the cycle; or give epochs and steps_per_epoch"),
        .count("epochs", nil, from: 1, optional: true, "with steps_per_epoch, the length of the cycle"),
        .count("steps_per_epoch", nil, from: 1, optional: true, "with epochs, the length of the cycle"),
        .number("pct_start", 0.3, in: .fraction, "the part of the cycle that goes up"),
        .choice("anneal_strategy", ["cos", "linear"], "the form of the ways"),
        .flag("cycle_momentum", true, "move the momentum (or the first of betas) the other way"),
        .perGroup("base_momentum", 0.85, in: .below1, "the lowest momentum"),
        .perGroup("max_momentum", 0.95, in: .below1, "the highest momentum"),
        .number("div_factor", 25, in: .positive, "max_lr divided by the first rate"),
        .number("final_div_factor", 1e4, in: .positive, "the first rate divided by the last"),
        .flag("three_phase", false, "go down to the first rate as slowly as up, then on to the last"),
      ],
      samples: [
        ["max_lr": 0.5, "total_steps": 60],
        ["max_lr": [0.5, 0.2], "epochs": 6, "steps_per_epoch": 10, "anneal_strategy": "linear", "pct_start": 0.4],
        ["max_lr": 0.3, "total_steps": 50, "three_phase": true, "cycle_momentum": false, "div_factor": 10, "final_div_factor": 100],
      ], prepare: prepareOneCycle, rates: oneCycle),
    SchedulerKind(
      "CyclicLR", "Up and down between two rates, again and again; to be stepped after every batch.",
      [
        .perGroup("base_lr", nil, "the lowest rate"),
        .perGroup("max_lr", nil, "the highest rate"),
        .count("step_size_up", 2000, from: 1, "how many steps the way up takes"),
        .count("step_size_down", nil, from: 1, optional: true, "how many the way down takes; as many unless given"),
        .choice("mode", ["triangular", "triangular2", "exp_range"], "whether each cycle is as high, half as high, or falls by gamma"),
        .number("gamma", 1, in: .positive, "the factor of every step in the mode exp_range"),
        .optionalFunction("scale_fn", "a factor by cycle, which counts from 1, or by step, in place of a mode"),
        .choice("scale_mode", ["cycle", "iterations"], "what scale_fn goes by"),
        .flag("cycle_momentum", true, "move the momentum (or the first of betas) the other way"),
        .perGroup("base_momentum", 0.8, in: .below1, "the lowest momentum"),
        .perGroup("max_momentum", 0.9, in: .below1, "the highest momentum"),
      ],
      samples: [
        ["base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5],
        ["base_lr": [0.01, 0.02], "max_lr": [0.1, 0.3], "step_size_up": 4, "step_size_down": 9, "mode": "triangular2"],
        ["base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97, "cycle_momentum": false],
        [
          "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5, "scale_fn": .function { 1 / pow(5, Double($0) * 0.001) },
          "scale_mode": "iterations",
        ],
      ], prepare: prepareCycles, rates: cycles),
    SchedulerKind(
      "SWALR", "To a fixed rate in some epochs; for the averaging of weights (swa_utils).",
      [
        .perGroup("swa_lr", nil, "the rate at the end"),
        .count("anneal_epochs", 10, from: 0, "how many epochs the way takes"),
        .choice("anneal_strategy", ["cos", "linear"], "the form of the way"),
      ],
      samples: [
        ["swa_lr": 0.05], ["swa_lr": [0.05, 0.01], "anneal_epochs": 7, "anneal_strategy": "linear"], ["swa_lr": 0.01, "anneal_epochs": 0],
      ],
      prepare: { s in
        for (group, rate) in try zip(s.optimizer.groups, s.perGroup("swa_lr")) { group.setScheduled("swa_lr", .number(rate)) }
        s.state["_anneal_strategy"] = .text(try s.text("anneal_strategy"))
        for name in ["swa_lr", "anneal_strategy"] { s.options[name] = nil }
      }, rates: towardsFixed),
  ]

  // MARK: Momentum

  /// Sets what moves against the rates, where it is wanted. Returns the lowest and highest by group.
  private static func prepareMomenta(_ s: Scheduler) throws -> (low: [Double], high: [Double])? {
    let isWanted = try s.boolean("cycle_momentum")
    s.state["cycle_momentum"] = .boolean(isWanted)
    guard isWanted else { return nil }
    let names = s.optimizer.kind.options.map(\.name)
    guard names.contains("momentum") || names.contains("betas") else {
      throw s.error("\(s.optimizer.kind.name) has neither momentum nor betas; pass cycle_momentum = false")
    }
    let (low, high) = (try s.perGroup("base_momentum"), try s.perGroup("max_momentum"))
    s.state["use_beta1"] = .boolean(names.contains("betas"))
    if try s.integer("last_epoch") == -1 {
      s.setMomenta(high)
      for (position, group) in s.optimizer.groups.enumerated() {
        group.setScheduled("max_momentum", .number(high[position]))
        group.setScheduled("base_momentum", .number(low[position]))
      }
    }
    return (low, high)
  }

  // MARK: One cycle

  private static func prepareOneCycle(_ s: Scheduler) throws {
    var total = s.options["total_steps"]?.integer
    if total == nil, let epochs = s.options["epochs"]?.integer, let steps = s.options["steps_per_epoch"]?.integer {
      total = epochs.multipliedReportingOverflow(by: steps).overflow ? nil : epochs * steps
    }
    guard let total, total <= 1 << 53 else {
      throw s.error("total_steps is missing, or epochs and steps_per_epoch in its place")
    }
    let (start, length) = (try s.number("pct_start"), Double(total))
    var ends: [(end: SchedulerValue, from: String, to: String, momentum: (String, String))] = [
      (.number(start * length - 1), "initial_lr", "max_lr", ("max_momentum", "base_momentum"))
    ]
    if try s.boolean("three_phase") {
      ends += [
        (.number(2 * start * length - 2), "max_lr", "initial_lr", ("base_momentum", "max_momentum")),
        (.integer(total - 1), "initial_lr", "min_lr", ("max_momentum", "max_momentum")),
      ]
    } else {
      ends.append((.integer(total - 1), "max_lr", "min_lr", ("base_momentum", "max_momentum")))
    }
    let (highest, first, last) = (try s.perGroup("max_lr"), try s.number("div_factor"), try s.number("final_div_factor"))
    if try s.integer("last_epoch") == -1 {
      for (group, rate) in zip(s.optimizer.groups, highest) {
        group.setScheduled("initial_lr", .number(rate / first))
        group.setScheduled("max_lr", .number(rate))
        group.setScheduled("min_lr", .number(rate / first / last))
      }
    }
    _ = try prepareMomenta(s)
    s.state["total_steps"] = .integer(total)
    s.state["_anneal_func_type"] = .text(try s.text("anneal_strategy"))
    s.state["_schedule_phases"] = .list(
      ends.map {
        .record([
          .name("end_step"): $0.end, .name("start_lr"): .text($0.from), .name("end_lr"): .text($0.to),
          .name("start_momentum"): .text($0.momentum.0), .name("end_momentum"): .text($0.momentum.1),
        ])
      })
    s.options = ["last_epoch": s.options["last_epoch"] ?? -1]
  }

  private static func oneCycle(_ s: Scheduler) throws -> [Double] {
    let (total, step, isCosine) = (try s.integer("total_steps"), Double(s.lastEpoch), try s.text("_anneal_func_type") == "cos")
    guard s.lastEpoch <= total else {
      throw s.error("step \(s.lastEpoch) is beyond the end of the cycle, which has total_steps = \(total)")
    }
    func between(_ start: Double, _ end: Double, _ part: Double) -> Double {
      isCosine ? end + (start - end) / 2.0 * (cos(.pi * part) + 1) : (end - start) * part + start
    }
    func wrong() -> any Error { s.error("_schedule_phases must be a list of phases, as state_dict() gives them") }
    guard let phases = s.state["_schedule_phases"]?.list, !phases.isEmpty else { throw wrong() }
    var start = 0.0
    for (position, phase) in phases.enumerated() {
      guard case .record(let fields) = phase, let end = fields[.name("end_step")]?.number else { throw wrong() }
      guard step <= end || position == phases.count - 1 else {
        start = end
        continue
      }
      func way(_ name: String) throws -> [Double] {
        guard let from = fields[.name("start_\(name)")]?.text, let to = fields[.name("end_\(name)")]?.text else { throw wrong() }
        let part = (step - start) / (end - start)
        return try zip(s.group(from), s.group(to)).map { between($0, $1, part) }
      }
      let rates = try way("lr")
      if try s.boolean("cycle_momentum") { s.setMomenta(try way("momentum")) }
      return rates
    }
    throw wrong()
  }

  // MARK: Cycles

  private static func prepareCycles(_ s: Scheduler) throws {
    let (low, high) = (try s.perGroup("base_lr"), try s.perGroup("max_lr"))
    let up = try s.number("step_size_up"), down = s.options["step_size_down"]?.number ?? up
    s.state["max_lrs"] = .numbers(high)
    s.state["total_size"] = .number(up + down)
    s.state["step_ratio"] = .number(up / (up + down))
    s.state["mode"] = s.options["mode"]
    s.state["gamma"] = s.options["gamma"]
    s.state["_scale_fn_custom"] = SchedulerValue.none
    s.state["scale_mode"] = s.options["scale_mode"]
    if case .function(let function)? = s.options["scale_fn"] {
      s.functions = [function]
    } else {
      s.state["scale_mode"] = .text(try s.text("mode") == "exp_range" ? "iterations" : "cycle")
    }
    if let momenta = try prepareMomenta(s) {
      s.state["base_momentums"] = .numbers(momenta.low)
      s.state["max_momentums"] = .numbers(momenta.high)
    }
    let last = s.options["last_epoch"] ?? -1
    s.options = ["last_epoch": last]
    for (group, rate) in zip(s.optimizer.groups, low) {
      if last.integer == -1 { group.setScheduled("lr", .number(rate)) }
    }
    s.afterFirst = { $0.state["base_lrs"] = .numbers(low) }
  }

  private static func cycles(_ s: Scheduler) throws -> [Double] {
    let (size, ratio) = (try s.number("total_size"), try s.number("step_ratio"))
    let cycle = (1 + Double(s.lastEpoch) / size).rounded(.down)
    let x = 1.0 + Double(s.lastEpoch) / size - cycle
    let scale = x <= ratio ? x / ratio : (x - 1) / (ratio - 1)
    func factor(_ at: Double) throws -> Double {
      if let function = s.functions.first { return try function(Int(exactly: at) ?? 0) }
      switch try s.text("mode") {
      case "triangular2": return 1 / pow(2.0, at - 1)
      case "exp_range": return pow(try s.number("gamma"), at)
      default: return 1
      }
    }
    let height = try factor(s.text("scale_mode") == "cycle" ? cycle : Double(s.lastEpoch))
    let highest = try s.perGroup("max_lrs")
    let rates = try zip(s.bases, highest).map { $0 + ($1 - $0) * scale * height }
    if try s.boolean("cycle_momentum") {
      let (low, high) = (try s.perGroup("base_momentums"), try s.perGroup("max_momentums"))
      s.setMomenta(zip(low, high).map { $1 - ($1 - $0) * scale * height })
    }
    return rates
  }

  // MARK: Towards a fixed rate

  private static func towardsFixed(_ s: Scheduler) throws -> [Double] {
    let (epochs, isCosine) = (try s.integer("anneal_epochs"), try s.text("_anneal_strategy") == "cos")
    var step = try s.integer("_step_count") - 1
    if epochs == 0 { step = max(1, step) }
    func way(_ step: Int) -> Double {
      let part = max(0, min(1, Double(step) / Double(max(1, epochs))))
      return isCosine ? (1 - cos(.pi * part)) / 2 : part
    }
    let (before, now) = (way(step - 1), way(step))
    return try zip(s.rates, s.group("swa_lr")).map { rate, end in
      let start = before == 1 ? end : (rate - before * end) / (1 - before)
      return end * now + start * (1 - now)
    }
  }
}
