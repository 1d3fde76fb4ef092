// Images made larger or smaller: each place of the result takes the nearest elements, or a weighted sum of some around it.

import Glibc

extension Tensor {
  private static let modes: [String: ClosedRange<Int>] = [
    "nearest": 1...3, "nearest-exact": 1...3, "linear": 1...1, "bilinear": 2...2, "bicubic": 2...2, "trilinear": 3...3, "area": 1...3,
  ]

  /// `(batch, channels, …)` resampled to sizes, or by factors.
  func interpolated(
    _ sizes: [Int]?, _ factors: Numbers?, mode: String, alignsCorners: Bool?, recomputes: Bool?, antialias: Bool
  ) throws -> Tensor {
    let name = "interpolate"
    guard let ranks = Tensor.modes[mode] else {
      throw TensorError(
        .argument, name, "mode must be one of \(Tensor.modes.keys.sorted().map { "\"\($0)\"" }.joined(separator: ", ")), got \"\(mode)\"")
    }
    let count = rank - 2
    guard ranks.contains(count) else {
      throw TensorError(
        .shape, name,
        "mode \"\(mode)\" needs \(ranks.count == 1 ? "\(ranks.lowerBound)" : "1 to 3") dimensions after (batch, channels), got shape \(shape)"
      )
    }
    let isLinear = mode.hasSuffix("linear") || mode == "bicubic"
    guard alignsCorners == nil || isLinear else {
      throw TensorError(.argument, name, "align_corners is for the linear modes and \"bicubic\", not for \"\(mode)\"")
    }
    guard !antialias || mode == "bilinear" || mode == "bicubic" else {
      throw TensorError(.argument, name, "antialias is for modes \"bilinear\" and \"bicubic\", not for \"\(mode)\"")
    }
    guard dtype.isFloating || mode.hasPrefix("nearest") else { throw floatsNeeded(name) }
    var scales: [Double?] = [Double?](repeating: nil, count: count)
    let target: [Int]
    switch (sizes, factors) {
    case (let sizes?, nil): target = try sizes.spread(count, "size", name, least: 1)
    case (nil, let factors?):
      let given: [Double]
      switch factors {
      case .number(let factor): given = (0..<count).map { _ in factor }
      case .list(let list) where list.count == count || list.count == 1:
        given = list.count == count ? list : (0..<count).map { _ in list[0] }
      default: throw TensorError(.argument, name, "scale_factor must be a number or a list of \(count)")
      }
      target = try (0..<count).map { dimension in
        let size = (Double(shape[dimension + 2]) * given[dimension]).rounded(.down)
        guard given[dimension] > 0, size >= 1, size < 0x1p40 else {
          throw TensorError(.argument, name, "a scale_factor of \(given[dimension]) leaves nothing, or too much, of shape \(shape)")
        }
        return Int(size)
      }
      if recomputes != true { scales = given.map { 1 / $0 } }
    default: throw TensorError(.argument, name, "either size or scale_factor must be given")
    }
    for dimension in 1..<rank where shape[dimension] == 0 {
      throw TensorError(.shape, name, "only the batch may be empty, got shape \(shape)")
    }
    for dimension in 0..<count {
      let (from, to) = (shape[dimension + 2], target[dimension])
      try AxisWeights.check(from: from, to: to, taps: antialias ? 4 * (from / to + 1) : mode.hasPrefix("nearest") ? 1 : 4, name)
    }
    if mode == "area" { return try adaptiveMeanPool(target, rank: count, name) }
    _ = try Shape([shape[0], shape[1]] + target, operation: name)
    if !dtype.isFloating {
      var x = self
      for dimension in 0..<count {
        let positions = try Sampling.nearest(shape[dimension + 2], target[dimension], scales[dimension], exact: mode == "nearest-exact")
        x = try x.indexSelect(dimension + 2, Tensor(positions))
      }
      return x
    }
    let maps = try (0..<count).map { dimension in
      let sampling = Sampling(
        size: shape[dimension + 2], target: target[dimension], scale: scales[dimension], alignsCorners: alignsCorners ?? false)
      return try AxisWeights(
        dimension + 2, from: shape[dimension + 2], to: target[dimension], sampling.taps(mode, antialias: antialias))
    }
    let kind = mode.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    return try resampled(
      maps, "Upsample\(kind)\(mode.hasPrefix("nearest") ? "\(count)D" : count == 2 ? "2D" : "\(count)D")\(antialias ? "Aa" : "")Backward0")
  }

  private func floatsNeeded(_ name: String) -> TensorError {
    TensorError(.dtype, name, "a float tensor is needed, this one is \(dtype); convert it, for instance with :float()")
  }
}

/// Where the places of a result lie among the elements along one dimension.
private struct Sampling {
  let size, target: Int
  /// Elements from one place to the next, where that was given.
  let scale: Double?
  let alignsCorners: Bool

  /// In float32, as PyTorch computes it whatever the dtype.
  static func nearest(_ size: Int, _ target: Int, _ scale: Double?, exact: Bool) throws -> [Int] {
    let step = scale.map { Float($0) } ?? Float(size) / Float(target)
    var positions: [Int] = []
    positions.reserveCapacity(target)
    Context.inPieces(target) { place in
      let at = ((Float(place) + (exact ? 0.5 : 0)) * step).rounded(.down)
      positions.append(!exact && size == target ? place : Swift.min(Int(at), size - 1))
    }
    try Context.checkStop()
    return positions
  }

  private var step: Double {
    if alignsCorners { return target > 1 ? Double(size - 1) / Double(target - 1) : 0 }
    return scale ?? Double(size) / Double(target)
  }

  func taps(_ mode: String, antialias: Bool) throws -> (Int) -> [(position: Int, weight: Double)] {
    if mode.hasPrefix("nearest") {
      let positions = try Sampling.nearest(size, target, scale, exact: mode == "nearest-exact")
      return { [(positions[$0], 1)] }
    }
    if antialias { return smooth(mode == "bicubic") }
    let (step, last) = (step, size - 1)
    if mode == "bicubic" {
      return { place in
        let at = alignsCorners ? step * Double(place) : step * (Double(place) + 0.5) - 0.5
        let first = at.rounded(.down), t = at - first
        let weights = [
          Sampling.far(t + 1, -0.75), Sampling.near(t, -0.75), Sampling.near(1 - t, -0.75), Sampling.far(2 - t, -0.75),
        ]
        return weights.enumerated().map { (Swift.min(Swift.max(Int(first) - 1 + $0.offset, 0), last), $0.element) }
      }
    }
    return { place in
      let at = alignsCorners ? step * Double(place) : Swift.max(step * (Double(place) + 0.5) - 0.5, 0)
      let first = Swift.min(Int(at), last), t = Swift.min(Swift.max(at - Double(first), 0), 1)
      return [(first, 1 - t), (Swift.min(first + 1, last), t)]
    }
  }

  /// Keys' cubic, from 0 to 1 and from 1 to 2.
  private static func near(_ x: Double, _ a: Double) -> Double { ((a + 2) * x - (a + 3)) * x * x + 1 }
  private static func far(_ x: Double, _ a: Double) -> Double { ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }

  /// Where the result is smaller, places take as many elements as fall to them.
  private func smooth(_ isCubic: Bool) -> (Int) -> [(position: Int, weight: Double)] {
    let step = step
    let stretch = Swift.max(step, 1), support = (isCubic ? 2 : 1) * stretch
    return { [size] place in
      let centre = step * (Double(place) + 0.5)
      let first = Swift.max(Int(centre - support + 0.5), 0), last = Swift.max(Swift.min(Int(centre + support + 0.5), size), first)
      var taps = (first..<last).map { position in
        let x = ((Double(position) - centre + 0.5) / stretch).magnitude
        let weight = isCubic ? (x < 1 ? Sampling.near(x, -0.5) : x < 2 ? Sampling.far(x, -0.5) : 0) : Swift.max(1 - x, 0)
        return (position: position, weight: weight)
      }
      let total = taps.reduce(0) { $0 + $1.weight }
      if total != 0 { for tap in taps.indices { taps[tap].weight /= total } }
      return taps
    }
  }
}

enum Interpolations {
  static let list: [TensorOperation] = [
    TensorOperation(
      "interpolate",
      "(batch, channels, …) made larger or smaller, to a size or by scale_factor, by mode \"nearest\", \"nearest-exact\", \"linear\", \"bilinear\", \"bicubic\", \"trilinear\" or \"area\".",
      Take.input, Take.optionalSizes("size"), Take.optionalNumbers("scale_factor"),
      Take.text("mode", default: "nearest").oneOf(
        "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area"),
      Take.optionalFlag("align_corners"), Take.optionalFlag("recompute_scale_factor"), Take.flag("antialias", default: false),
      aliases: ["upsample"], forms: .functional,
      samples: [
        [.float(1, 2, 3, 4), .list([5, 6])], [.float(2, 2, 5), .integer(3)], [.float(1, 1, 2, 3, 2), .absent, .integer(2)],
        [.float(1, 2, 5), .integer(8), .absent, .text("nearest-exact")], [.float(1, 2, 5), .integer(8), .absent, .text("linear")],
        [.float(1, 2, 3, 4), .list([5, 3]), .absent, .text("bilinear")], [.float(1, 2, 3, 4), .absent, .number(1.75), .text("bilinear")],
        [.float(1, 2, 3, 4), .list([5, 2]), .absent, .text("bilinear"), .flag(true)],
        [.float(1, 2, 3, 4), .absent, .number(1.6), .text("bilinear"), .flag(false), .flag(true)],
        [.float(1, 1, 4, 5), .list([6, 3]), .absent, .text("bicubic")],
        [.float(1, 1, 4, 5), .list([6, 3]), .absent, .text("bicubic"), .flag(true)],
        [.float(1, 1, 2, 3, 2), .list([3, 2, 4]), .absent, .text("trilinear")],
        [.float(1, 2, 5, 4), .list([3, 2]), .absent, .text("area")],
        [.float(1, 1, 7, 6), .list([3, 4]), .absent, .text("bilinear"), .flag(false), .absent, .flag(true)],
        [.float(1, 1, 7, 6), .list([3, 4]), .absent, .text("bicubic"), .flag(false), .absent, .flag(true)],
      ],
      rejects: [
        [.float(1, 2, 3), .list([5]), .absent, .text("bilinear")], [.float(1, 2, 3), .list([5]), .absent, .text("sharp")],
        [.float(1, 2, 3)], [.float(1, 2, 3), .integer(4), .number(2)],
        [.float(1, 2, 3), .integer(4), .absent, .text("nearest"), .flag(true)],
        [.float(1, 2, 3), .absent, .number(0.1)], [.float(2, 3), .integer(4)], [.float(1, 2, 3), .list([4, 5])],
      ], composed: true, batching: .moreSamples
    ) { x, size, factor, mode, alignsCorners, recomputes, antialias in
      .tensor(
        try x.interpolated(size, factor, mode: mode, alignsCorners: alignsCorners, recomputes: recomputes, antialias: antialias))
    }
  ]
}
