// Softmax, its kin and the fused losses against their formulas in double precision.
import CKernels
import Foundation
import Testing

private let shapes = [(1, 1), (3, 5), (2, 15), (2, 16), (2, 17), (5, 33), (64, 10), (2, 1000), (1, 9000), (300, 101)]

private func logits<T: FloatElement>(_ count: Int, seed: UInt64) -> [T] {
  var numbers = Numbers(seed)
  return (0..<count).map { _ in T(numbers.uniform(-8, 8)) }
}

private func rows<T>(_ x: [T], _ n: Int) -> [ArraySlice<T>] { stride(from: 0, to: x.count, by: n).map { x[$0..<$0 + n] } }

private func logSumExp<S: Sequence>(_ x: S) -> Double where S.Element: BinaryFloatingPoint {
  let x = x.map { Double($0) }, m = x.max()!
  return m + log(x.reduce(0) { $0 + exp($1 - m) })
}

@Suite struct SoftmaxTests {
  private func check<T: FloatElement>(_ r: Int, _ n: Int, _: T.Type, _ tolerance: Double) {
    let x: [T] = logits(r * n, seed: 1), g: [T] = logits(r * n, seed: 2)
    let (y, again): ([T], [T]) = onOneAndTwoThreads { filled(r * n) { mg_softmax(T.dtype, Int64(r), Int64(n), x, $0) } }
    #expect(y == again)
    let l: [T] = filled(r * n) { mg_log_softmax(T.dtype, Int64(r), Int64(n), x, $0) }
    let s: [T] = filled(r) { mg_logsumexp(T.dtype, Int64(r), Int64(n), 1, x, $0) }
    let dy: [T] = filled(r * n) { mg_softmax_grad(T.dtype, Int64(r), Int64(n), g, y, $0) }
    let dl: [T] = filled(r * n) { mg_log_softmax_grad(T.dtype, Int64(r), Int64(n), g, l, $0) }
    for row in 0..<r {
      let all = row * n..<(row + 1) * n, total = logSumExp(x[all])
      #expect(abs(Double(s[row]) - total) <= tolerance * max(1, abs(total)))
      let dot = all.reduce(0) { $0 + Double(g[$1]) * Double(y[$1]) }, sum = all.reduce(0) { $0 + Double(g[$1]) }
      let size = all.reduce(0) { $0 + abs(Double(g[$1])) }
      for i in all {
        let p = exp(Double(x[i]) - total)
        #expect(abs(Double(y[i]) - p) <= 4 * tolerance * p)
        #expect(abs(Double(l[i]) - (Double(x[i]) - total)) <= tolerance * 20)
        #expect(abs(Double(dy[i]) - Double(y[i]) * (Double(g[i]) - dot)) <= tolerance * 20 * Double(y[i]))
        #expect(abs(Double(dl[i]) - (Double(g[i]) - exp(Double(l[i])) * sum)) <= tolerance * (10 + size))
      }
    }
    var inPlace = x
    inPlace.withUnsafeMutableBufferPointer { mg_softmax(T.dtype, Int64(r), Int64(n), $0.baseAddress!, $0.baseAddress!) }
    #expect(inPlace == y)
  }

  @Test(arguments: shapes)
  func againstFormulas(_ r: Int, _ n: Int) {
    check(r, n, Float.self, 3e-7)
    check(r, n, Double.self, 3e-15)
  }

  @Test func extremes() {
    func softmax(_ x: [Float]) -> [Float] { filled(x.count) { mg_softmax(MG_F32, 1, Int64(x.count), x, $0) } }
    #expect(softmax([-.infinity, 0, -.infinity]) == [0, 1, 0])
    #expect(softmax([1e30, -1e30, 1e30]) == [0.5, 0, 0.5])
    #expect(softmax([0, -100])[1] == Float(exp(-100.0)))  // a denormal
    for n in [3, 20] {
      #expect(softmax([Float](repeating: -.infinity, count: n)).allSatisfy { $0.isNaN })
      #expect(softmax([.nan] + [Float](repeating: 1, count: n)).allSatisfy { $0.isNaN })
      #expect(softmax([.infinity] + [Float](repeating: 1, count: n))[0].isNaN)
    }
    func total(_ x: [Float]) -> Float { filled(1) { mg_logsumexp(MG_F32, 1, Int64(x.count), 1, x, $0) }[0] }
    #expect(total([-.infinity, -.infinity]) == -.infinity && total([.infinity, 1]) == .infinity && total([]) == -.infinity)
    #expect(total([.infinity, .nan]).isNaN && total([.nan, 1]).isNaN)
    let columns: [Float] = [0, 1, 2, 3, 4, 5]
    let y: [Float] = filled(2) { mg_logsumexp(MG_F32, 1, 3, 2, columns, $0) }
    #expect(abs(Double(y[1]) - logSumExp([1.0, 3, 5])) < 1e-6)
  }
}

@Suite struct LogSumExpTests {
  /// Columns in stripes, with and without a last one that is narrower, some of them with infinities and NaN.
  @Test(arguments: [(1, 5, 2), (1, 16, 31), (2, 17, 32), (3, 1, 33), (1, 4000, 100), (40, 50, 65), (2, 0, 3)])
  func columns(_ outer: Int, _ n: Int, _ inner: Int) {
    func check<T: FloatElement>(_: T.Type, _ tolerance: Double) {
      var x: [T] = logits(outer * n * inner, seed: 6)
      for (place, value) in [(0, T.infinity), (inner + 1, .nan), (inner - 1, -.infinity)] where place < x.count { x[place] = value }
      let (one, two): ([T], [T]) = onOneAndTwoThreads {
        filled(outer * inner) { mg_logsumexp(T.dtype, Int64(outer), Int64(n), Int64(inner), x, $0) }
      }
      #expect(areSame(one, two))
      for o in 0..<outer {
        for i in 0..<inner {
          let column = (0..<n).map { Double(x[(o * n + $0) * inner + i]) }
          let (found, max) = (Double(one[o * inner + i]), column.max() ?? -.infinity)
          if column.contains(where: \.isNaN) {
            #expect(found.isNaN)
          } else if max.isInfinite {
            #expect(found == max)
          } else {
            #expect(abs(found - logSumExp(column)) <= tolerance * (1 + abs(found)), "column \(i) of slice \(o)")
          }
        }
      }
    }
    check(Float.self, 4e-7)
    check(Double.self, 4e-15)
  }
}

@Suite struct LossTests {
  @Test(arguments: [0, 1, 10, 33, 5000, 100_000])
  func squaredError(_ n: Int) {
    let x: [Float] = logits(n, seed: 3), y: [Float] = logits(n, seed: 4)
    let truth = zip(x, y).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
    let (one, two) = onOneAndTwoThreads { run("squared_error", MG_F32, [x, y], n).0 }
    #expect(one == two && abs(one - truth) <= 3e-7 * truth)
    let (a, b) = (x.map(Double.init), y.map(Double.init))
    let wide = run("squared_error", MG_F64, [a, b], n).0
    #expect(abs(wide - truth) <= 1e-13 * truth)
    let gradient: [Float] = filled(n) { run("scaled_difference", MG_F32, [x, y, $0], n, number: 0.25) }
    #expect(gradient.indices.allSatisfy { gradient[$0] == 0.25 * (x[$0] - y[$0]) })
  }

  private func checkCrossEntropy<T: FloatElement>(_ r: Int, _ n: Int, weighted: Bool, _: T.Type, _ tolerance: Double) {
    let x: [T] = logits(r * n, seed: 5)
    let target = (0..<r).map { $0 % 3 == 2 ? -100 : Int64($0 * 7 % n) }
    let weight = (0..<n).map { T($0 % 4) + 0.5 }
    var total = 0.0, loss = 0.0
    let weights = weighted ? weight : nil
    let logp: [T] = filled(r * n) {
      (loss, total) = run("cross_entropy", T.dtype, [x, target, weights, $0], r * n, sizes: [r, n, -100])
    }
    var expected = 0.0, expectedTotal = 0.0
    for row in 0..<r where target[row] != -100 {
      let t = Int(target[row]), w = weighted ? Double(weight[t]) : 1
      expected -= w * (Double(x[row * n + t]) - logSumExp(x[row * n..<(row + 1) * n]))
      expectedTotal += w
    }
    #expect(abs(loss - expected) <= tolerance * max(1, expected) && total == expectedTotal)
    let gradient: [T] = filled(r * n) { dx in
      run("cross_entropy_gradient", T.dtype, [logp, target, weights, dx], r * n, sizes: [r, n, -100], number: 0.5)
    }
    for row in 0..<r {
      let t = Int(target[row]), scale = t == -100 ? 0 : weighted ? 0.5 * Double(weight[t]) : 0.5
      for i in 0..<n {
        let truth = scale * (exp(Double(logp[row * n + i])) - (i == t ? 1 : 0))
        #expect(abs(Double(gradient[row * n + i]) - truth) <= tolerance)
      }
    }
  }

  @Test(arguments: shapes)
  func crossEntropy(_ r: Int, _ n: Int) {
    for weighted in [false, true] {
      checkCrossEntropy(r, n, weighted: weighted, Float.self, 1e-6)
      checkCrossEntropy(r, n, weighted: weighted, Double.self, 1e-14)
    }
  }
}

@Suite struct OptimizerTests {
  private func sgd<T: FloatElement>(_: T.Type, tolerance: Double) {
    for (momentum, dampening, decay, nesterov, maximize) in [
      (0, 0, 0, false, false), (0, 0, 0.1, false, true), (0.9, 0, 0, false, false), (0.9, 0.3, 0.1, false, true),
      (0.9, 0, 0.1, true, false),
    ] as [(Double, Double, Double, Bool, Bool)] {
      let n = 37
      var p: [T] = logits(n, seed: 6), buffer = [T](repeating: .nan, count: n)
      var truth = p.map { Double($0) }, velocity = [Double](repeating: 0, count: n)
      for step in 0..<3 {
        let g: [T] = logits(n, seed: UInt64(10 + step))
        mg_sgd(T.dtype, Int64(n), &p, g, &buffer, 0.1, momentum, dampening, decay, nesterov, maximize, step == 0)
        for i in 0..<n {
          let d = (maximize ? -1 : 1) * Double(g[i]) + decay * truth[i]
          velocity[i] = step == 0 ? d : momentum * velocity[i] + (1 - dampening) * d
          truth[i] -= 0.1 * (momentum == 0 ? d : nesterov ? d + momentum * velocity[i] : velocity[i])
          #expect(abs(Double(p[i]) - truth[i]) <= tolerance * 10)
        }
      }
    }
  }

  private func adam<T: FloatElement>(_: T.Type, tolerance: Double) {
    for (decay, decoupled, amsgrad, maximize) in [
      (0, false, false, false), (0.1, false, false, true), (0.1, true, false, false), (0, false, true, false),
    ] as [(Double, Bool, Bool, Bool)] {
      let n = 37
      var p: [T] = logits(n, seed: 7), m = [T](repeating: 0, count: n), v = m, largest = m
      var truth = p.map { Double($0) }, tm = [Double](repeating: 0, count: n), tv = tm, tl = tm
      for step in 1...4 {
        let g: [T] = logits(n, seed: UInt64(20 + step))
        largest.withUnsafeMutableBufferPointer {
          mg_adam(
            T.dtype, Int64(n), &p, g, &m, &v, amsgrad ? $0.baseAddress! : nil, Int64(step), 0.01, 0.9, 0.99, 1e-8,
            decay, decoupled, maximize)
        }
        for i in 0..<n {
          var d = (maximize ? -1 : 1) * Double(g[i])
          if decoupled { truth[i] *= 1 - 0.01 * decay } else { d += decay * truth[i] }
          tm[i] += 0.1 * (d - tm[i])
          tv[i] = 0.99 * tv[i] + 0.01 * d * d
          tl[i] = max(tl[i], tv[i])
          let root = sqrt(amsgrad ? tl[i] : tv[i]) / sqrt(1 - pow(0.99, Double(step))) + 1e-8
          truth[i] -= 0.01 / (1 - pow(0.9, Double(step))) * tm[i] / root
          #expect(abs(Double(p[i]) - truth[i]) <= tolerance * 10)
        }
      }
    }
  }

  @Test func againstFormulas() {
    sgd(Float.self, tolerance: 3e-7)
    sgd(Double.self, tolerance: 1e-15)
    adam(Float.self, tolerance: 3e-7)
    adam(Double.self, tolerance: 1e-15)
  }

  @Test func doNotDependOnThreads() {
    let n = 70_000
    let g: [Float] = logits(n, seed: 8), p: [Float] = logits(n, seed: 9)
    let (one, two) = onOneAndTwoThreads {
      var p = p, m = [Float](repeating: 0, count: n), v = m
      mg_adam(MG_F32, Int64(n), &p, g, &m, &v, nil, 1, 0.01, 0.9, 0.99, 1e-8, 0, false, false)
      mg_sgd(MG_F32, Int64(n), &p, g, nil, 0.1, 0, 0, 0, false, false, true)
      return p
    }
    #expect(one == two)
  }
}
