// The schedule that watches a number: rates fall when it has stopped getting better.

enum Plateau {
  static let kinds: [SchedulerKind] = [
    SchedulerKind(
      "ReduceLROnPlateau", "The rates times a factor when a number, given to step, has stopped getting better.",
      [
        .choice("mode", ["min", "max"], "whether the number should fall or rise"),
        .number("factor", 0.1, in: .below1, "what the rates are multiplied with"),
        .count("patience", 10, from: 0, "for how many epochs without progress nothing happens"),
        .number("threshold", 1e-4, in: .notNegative, "by how much the number must move to count as better"),
        .choice("threshold_mode", ["rel", "abs"], "whether the threshold is a part of the best number, or a distance from it"),
        .count("cooldown", 0, from: 0, "how many epochs after a fall do not count"),
        .perGroup("min_lr", 0, "no rate falls below it"),
        .number("eps", 1e-8, in: .notNegative, "a fall of a rate by less is left out"),
      ], form: .plateau,
      samples: [
        ["patience": 2], ["mode": "max", "factor": 0.5, "patience": 1, "cooldown": 3, "threshold_mode": "abs", "threshold": 0.01],
        ["patience": 0, "factor": 0.3, "min_lr": [0.01, 0.001], "threshold": 0.05],
      ], prepare: prepare, advance: advance)
  ]

  private static func prepare(_ s: Scheduler) throws {
    let least = try s.perGroup("min_lr")
    for name in ["factor", "patience", "cooldown", "eps", "mode", "threshold", "threshold_mode"] { s.state[name] = s.options[name] }
    let worst = try s.text("mode") == "min" ? Double.infinity : -.infinity
    s.state["default_min_lr"] = s.options["min_lr"]?.number.map(SchedulerValue.number) ?? SchedulerValue.none
    s.state["min_lrs"] = .numbers(least)
    s.state["last_epoch"] = 0
    s.state["_last_lr"] = .numbers(try s.rates)
    s.state["mode_worse"] = .number(worst)
    s.state["best"] = .number(worst)
    s.state["cooldown_counter"] = 0
    s.state["num_bad_epochs"] = 0
    s.options = [:]
  }

  private static func advance(_ s: Scheduler, _ metric: Double?) throws {
    guard let metric else { throw s.error("step needs the number that is watched, such as a loss: step(loss)") }
    s.lastEpoch += 1
    let (best, threshold) = (try s.number("best"), try s.number("threshold"))
    let (falls, isRelative) = (try s.text("mode") == "min", try s.text("threshold_mode") == "rel")
    let goal =
      falls
      ? (isRelative ? best * (1.0 - threshold) : best - threshold)
      : (isRelative ? best * (threshold + 1.0) : best + threshold)
    var (bad, cooling) = (try s.integer("num_bad_epochs"), try s.integer("cooldown_counter"))
    if falls ? metric < goal : metric > goal {
      s.state["best"] = .number(metric)
      bad = 0
    } else {
      bad += 1
    }
    if cooling > 0 {
      cooling -= 1
      bad = 0
    }
    if bad > (try s.integer("patience")) {
      try reduce(s)
      cooling = try s.integer("cooldown")
      bad = 0
    }
    s.state["num_bad_epochs"] = .integer(bad)
    s.state["cooldown_counter"] = .integer(cooling)
    s.state["_last_lr"] = .numbers(try s.rates)
  }

  private static func reduce(_ s: Scheduler) throws {
    if let all = s.state["default_min_lr"]?.number { s.state["min_lrs"] = .numbers(s.optimizer.groups.map { _ in all }) }
    let (factor, least) = (try s.number("factor"), try s.number("eps"))
    for ((group, rate), floor) in try zip(zip(s.optimizer.groups, s.rates), s.perGroup("min_lrs")) {
      let lower = max(rate * factor, floor)
      if rate - lower > least { group.setScheduled("lr", .number(lower)) }
    }
  }
}
