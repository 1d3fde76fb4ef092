// Pictures and tables of what a watch recorded over time.

import Files
import Tensors

extension Watch {
  /// What a record holds of each parameter, or layer.
  public enum Quantity: String, Sendable, CaseIterable {
    /// The parameter's Euclidean norm.
    case norm
    /// The norm of its gradient.
    case gradientNorm = "grad_norm"
    /// The norm of what a step changed.
    case update
    /// That of the change over that of the parameter.
    case ratio
    /// The cosine between two steps after each other.
    case cosine
    /// The share of units of a layer that are 0 for the whole input.
    case deadUnits = "dead_units"
    /// How like a layer's output is to what it was at the beginning: linear centred kernel alignment.
    case similarity

    fileprivate func value(_ update: WatchRecord.Update) -> Double? {
      switch self {
      case .norm: update.norm
      case .gradientNorm: update.gradientNorm
      case .update: update.update
      case .ratio: update.ratio
      case .cosine: update.cosine
      case .deadUnits: update.deadUnits.map(Double.init)
      case .similarity: nil
      }
    }

    fileprivate var label: String {
      switch self {
      case .norm: "‖w‖"
      case .gradientNorm: "‖gradient‖"
      case .update: "‖Δw‖ of one step"
      case .ratio: "‖Δw‖ / ‖w‖ of one step"
      case .cosine: "cosine to the step before"
      case .deadUnits: "units without a gradient"
      case .similarity: "likeness to the start (linear CKA)"
      }
    }

    fileprivate var isLogarithmic: Bool { [.gradientNorm, .update, .ratio].contains(self) }
  }

  /// What was recorded of one quantity, as a curve over the steps for each parameter; of the likeness, for each layer.
  ///
  /// Throws where nothing of that kind was recorded.
  public func curves(of quantity: Quantity) throws -> [(name: String, steps: [Int], values: [Double])] {
    var curves: [(name: String, steps: [Int], values: [Double])] = []
    var places: [String: Int] = [:]
    func add(_ name: String, _ step: Int, _ value: Double) {
      let place = places[name] ?? curves.count
      if place == curves.count {
        places[name] = place
        curves.append((name, [], []))
      }
      curves[place].steps.append(step)
      curves[place].values.append(value)
    }
    for record in records {
      for update in record.updates { if let value = quantity.value(update) { add(update.name, record.step, value) } }
      guard quantity == .similarity else { continue }
      for (layer, value) in record.similarities { add(layer.isEmpty ? "(itself)" : layer, record.step, value) }
    }
    guard !curves.isEmpty else {
      let reason =
        records.isEmpty
        ? "a watch records steps of the optimizer that it is given, and there was none yet"
        : quantity == .similarity ? "a watch compares layers where it is given an input" : "no step recorded it"
      throw TensorError(.argument, "plot", TensorError.Facts("there is no \(quantity.rawValue): \(reason)"))
    }
    return curves
  }

  /// A picture of one quantity over the steps.
  public func chart(of quantity: Quantity = .ratio, title: String = "") throws -> Chart {
    let series = try curves(of: quantity).map { Chart.Series($0.name, x: $0.steps.map(Double.init), y: $0.values) }
    return Chart(
      title: title.isEmpty ? "\(module.kind): \(quantity.label)" : title, x: .init("step"),
      y: .init(quantity.label, isLogarithmic: quantity.isLogarithmic), series: series)
  }
}
