// Schedules that scale the rates from epoch to epoch: steps, constants, lines, powers, and factors by functions.

import Glibc

private let gammaText = "what the rates are multiplied with"

enum Decays {
  static let kinds: [SchedulerKind] = [
    SchedulerKind(
      "LambdaLR", "The base rates times a function of the epoch.",
      [.functions("lr_lambda", "a factor by epoch, which counts from 0; or a list of such functions, one for each parameter group")],
      samples: [["lr_lambda": .function { pow(0.95, Double($0)) }]], prepare: takeFunctions,
      rates: { s in try zip(s.bases, s.functions).map { try $0 * $1(s.lastEpoch) } }),
    SchedulerKind(
      "MultiplicativeLR", "The rates of the epoch before times a function of the epoch.",
      [.functions("lr_lambda", "a factor by epoch, first called with 1; or a list of such functions, one for each parameter group")],
      samples: [["lr_lambda": .function { $0 % 2 == 0 ? 0.9 : 1.02 }]], prepare: takeFunctions,
      rates: { s in s.isInitial ? try s.rates : try zip(s.rates, s.functions).map { try $0 * $1(s.lastEpoch) } }),
    SchedulerKind(
      "StepLR", "The rates times gamma every step_size epochs.",
      [.count("step_size", nil, from: 1, "how many epochs a rate lasts"), .number("gamma", 0.1, gammaText)],
      samples: [["step_size": 7], ["step_size": 3, "gamma": 0.7]],
      rates: { s in
        let gamma = try s.number("gamma")
        let stays = try s.lastEpoch == 0 || s.lastEpoch % max(1, s.integer("step_size")) != 0
        return stays ? try s.rates : try s.rates.map { $0 * gamma }
      },
      closed: { s in
        let factor = pow(try s.number("gamma"), Double(s.lastEpoch / max(1, try s.integer("step_size"))))
        return try s.bases.map { $0 * factor }
      }),
    SchedulerKind(
      "MultiStepLR", "The rates times gamma at each of some epochs.",
      [.counts("milestones", "the epochs"), .number("gamma", 0.1, gammaText)],
      samples: [["milestones": [5, 30]], ["milestones": [4, 9, 9, 40], "gamma": 0.5]],
      prepare: { s in
        let counts = Dictionary(try s.integers("milestones").map { (SchedulerKey.integer($0), 1) }, uniquingKeysWith: +)
        s.state["milestones"] = .record(counts.mapValues(SchedulerValue.integer))
      },
      rates: { s in
        guard let count = milestones(s)[s.lastEpoch] else { return try s.rates }
        let factor = pow(try s.number("gamma"), Double(count))
        return try s.rates.map { $0 * factor }
      },
      closed: { s in
        let passed = milestones(s).filter { $0.key <= s.lastEpoch }.values.reduce(0, &+)
        let factor = pow(try s.number("gamma"), Double(passed))
        return try s.bases.map { $0 * factor }
      }),
    SchedulerKind(
      "ConstantLR", "The rates times a factor for some epochs, then without it.",
      [
        .number("factor", 1.0 / 3, in: .positiveFraction, gammaText),
        .count("total_iters", 5, from: 0, "for how many epochs"),
      ],
      samples: [[:], ["factor": 0.5, "total_iters": 12]],
      rates: { s in
        let (factor, total) = (try s.number("factor"), try s.integer("total_iters"))
        if s.lastEpoch == 0 { return try s.rates.map { $0 * factor } }
        return s.lastEpoch == total ? try s.rates.map { $0 * (1.0 / factor) } : try s.rates
      },
      closed: { s in
        let (factor, total) = (try s.number("factor"), try s.integer("total_iters"))
        return try s.bases.map { $0 * (factor + (s.lastEpoch >= total ? 1 : 0) * (1 - factor)) }
      }),
    SchedulerKind(
      "LinearLR", "The rates times a factor that goes in a line from one number to another.",
      [
        .number("start_factor", 1.0 / 3, in: .positiveFraction, "the factor at first"),
        .number("end_factor", 1, in: .fraction, "the factor at last"),
        .count("total_iters", 5, from: 0, "after how many epochs it is reached"),
      ],
      samples: [[:], ["start_factor": 1, "end_factor": 0.1, "total_iters": 20], ["start_factor": 0.1, "total_iters": 9]],
      rates: { s in
        let (start, end, total) = (try s.number("start_factor"), try s.number("end_factor"), try s.integer("total_iters"))
        if s.lastEpoch == 0 { return try s.rates.map { $0 * start } }
        if s.isInitial || s.lastEpoch > total { return try s.rates }
        let factor = 1.0 + (end - start) / (Double(total) * start + Double(s.lastEpoch - 1) * (end - start))
        return try s.rates.map { $0 * factor }
      },
      closed: { s in
        let (start, end, total) = (try s.number("start_factor"), try s.number("end_factor"), try s.integer("total_iters"))
        let way = total == 0 ? end : start + (end - start) * Double(min(total, s.lastEpoch)) / Double(total)
        return try s.bases.map { $0 * way }
      }),
    SchedulerKind(
      "ExponentialLR", "The rates times gamma every epoch.", [.number("gamma", nil, gammaText)],
      samples: [["gamma": 0.9], ["gamma": 0.97]],
      rates: { s in
        let gamma = try s.number("gamma")
        return s.isInitial ? try s.rates : try s.rates.map { $0 * gamma }
      },
      closed: { s in
        let factor = pow(try s.number("gamma"), Double(s.lastEpoch))
        return try s.bases.map { $0 * factor }
      }),
    SchedulerKind(
      "PolynomialLR", "The base rates times a power of the part of the epochs that is left.",
      [
        .count("total_iters", 5, from: 0, "after how many epochs the rates are 0"),
        .number("power", 1, in: .notNegative, "the exponent"),
      ],
      samples: [[:], ["total_iters": 30, "power": 2], ["total_iters": 60, "power": 0.5]],
      rates: { s in
        let (total, epoch) = (try s.integer("total_iters"), s.lastEpoch)
        if s.isInitial || epoch > total || epoch == 0 { return try s.rates }
        let factor = pow(
          (1.0 - Double(epoch) / Double(total)) / (1.0 - Double(epoch - 1) / Double(total)), try s.number("power"))
        return try s.rates.map { $0 * factor }
      },
      closed: { s in
        let total = try s.integer("total_iters")
        let left = total == 0 ? 0 : 1.0 - Double(min(total, s.lastEpoch)) / Double(total)
        let factor = pow(left, try s.number("power"))
        return try s.bases.map { $0 * factor }
      }),
  ]

  private static func milestones(_ s: Scheduler) -> [Int: Int] {
    guard case .record(let counts)? = s.state["milestones"] else { return [:] }
    var found: [Int: Int] = [:]
    for case (.integer(let epoch), let count) in counts { found[epoch] = count.integer }
    return found
  }

  private static func takeFunctions(_ s: Scheduler) throws {
    switch s.options["lr_lambda"] {
    case .function(let function)?: s.functions = s.optimizer.groups.map { _ in function }
    case .list(let list)?:
      guard list.count == s.optimizer.groups.count else {
        throw s.error("lr_lambda has \(list.count) functions, but the optimizer has \(s.optimizer.groups.count) parameter groups")
      }
      s.functions = list.compactMap { if case .function(let function) = $0 { function } else { nil } }
    default: break
    }
    s.state["lr_lambdas"] = .list(s.functions.map { _ in .none })
    s.options["lr_lambda"] = nil
  }
}
