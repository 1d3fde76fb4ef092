// Schedules along a cosine: one annealing, which may come back, and restarts.

import Glibc

enum Cosines {
  static let kinds: [SchedulerKind] = [
    SchedulerKind(
      "CosineAnnealingLR", "From the base rates to eta_min along half a cosine, and back in as many epochs.",
      [
        .count("T_max", nil, from: 1, "how many epochs half a cosine takes"),
        .number("eta_min", 0, in: .notNegative, "the lowest rate"),
      ],
      samples: [["T_max": 20], ["T_max": 7, "eta_min": 0.003], ["T_max": 50]],
      rates: { s in
        let (period, low, epoch) = (try s.integer("T_max"), try s.number("eta_min"), s.lastEpoch)
        let length = Double(max(1, period))
        if s.isInitial { return try s.rates }
        if try s.integer("_step_count") == 1, epoch > 0 {
          return try s.bases.map { low + ($0 - low) * (1 + cos(Double(epoch) * .pi / length)) / 2 }
        }
        if (epoch - 1 - period) % (2 * max(1, period)) == 0 {
          return try zip(s.rates, s.bases).map { $0 + ($1 - low) * (1 - cos(.pi / length)) / 2 }
        }
        let factor = (1 + cos(.pi * Double(epoch) / length)) / (1 + cos(.pi * Double(epoch - 1) / length))
        return try s.rates.map { factor * ($0 - low) + low }
      },
      closed: { s in
        let (length, low) = (Double(max(1, try s.integer("T_max"))), try s.number("eta_min"))
        return try s.bases.map { low + ($0 - low) * (1 + cos(.pi * Double(s.lastEpoch) / length)) / 2 }
      }),
    SchedulerKind(
      "CosineAnnealingWarmRestarts", "From the base rates to eta_min along half a cosine, again and again.",
      [
        .count("T_0", nil, from: 1, "how many epochs there are until the first restart"),
        .count("T_mult", 1, from: 1, "how much longer each run is than the one before"),
        .number("eta_min", 0, in: .notNegative, "the lowest rate"),
      ],
      samples: [["T_0": 10], ["T_0": 4, "T_mult": 2, "eta_min": 0.001]],
      prepare: { s in
        s.state["T_i"] = .integer(try s.integer("T_0"))
        s.state["T_cur"] = .integer(try s.integer("last_epoch"))
      },
      rates: restartedRates, advance: advanceRestarts),
  ]

  private static func restartedRates(_ s: Scheduler) throws -> [Double] {
    let (current, length, low) = (try s.number("T_cur"), max(1, try s.number("T_i")), try s.number("eta_min"))
    return try s.bases.map { low + ($0 - low) * (1 + cos(.pi * current / length)) / 2 }
  }

  /// Where in which run an epoch is. Parts of epochs are possible.
  private static func advanceRestarts(_ s: Scheduler, _ given: Double?) throws {
    let (first, factor) = (try s.integer("T_0"), try s.integer("T_mult"))
    guard first >= 1, factor >= 1 else { throw s.error("T_0 and T_mult must be at least 1") }
    var epoch = given ?? Double(s.lastEpoch + 1)
    if given == nil, s.lastEpoch >= 0 {
      let (current, length) = (try s.number("T_cur") + 1, max(1, try s.integer("T_i")))
      if current >= Double(length) {
        s.state["T_cur"] = number(current.truncatingRemainder(dividingBy: Double(length)))
        s.state["T_i"] = .integer(length > (1 << 53) / factor ? length : length * factor)
      } else {
        s.state["T_cur"] = number(current)
      }
    } else {
      epoch = given ?? 0
      if epoch < Double(first) {
        (s.state["T_i"], s.state["T_cur"]) = (.integer(first), number(epoch))
      } else if factor == 1 {
        s.state["T_cur"] = number(epoch.truncatingRemainder(dividingBy: Double(first)))
      } else {
        let runs = (log(epoch / Double(first) * Double(factor - 1) + 1) / log(Double(factor))).rounded(.towardZero)
        let length = pow(Double(factor), runs)
        s.state["T_cur"] = number(epoch - Double(first) * (length - 1) / Double(factor - 1))
        s.state["T_i"] = number(Double(first) * length)
      }
    }
    s.lastEpoch = Int(epoch.rounded(.down))
    try s.setRates(restartedRates(s))
  }

  private static func number(_ value: Double) -> SchedulerValue { Int(exactly: value).map(SchedulerValue.integer) ?? .number(value) }
}
