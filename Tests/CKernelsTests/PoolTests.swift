// The pool: every index once, whatever the number of threads, of hosts, and of loops within loops.
import CKernels
import Foundation
import Synchronization
import Testing

private typealias Body = @convention(c) (UnsafeMutableRawPointer?, Int64, Int64) -> Void

/// Counts the visits of each index, in the Int32 array that is the context.
private let count: Body = { context, begin, end in
  let visits = context!.assumingMemoryBound(to: Int32.self)
  for i in begin..<end { visits[Int(i)] += 1 }
}

/// The same by a loop within the loop.
private let countNested: Body = { context, begin, end in
  mg_parallel(end - begin, 7, count, context! + 4 * Int(begin))
}

private func visits(_ n: Int, grain: Int, _ body: Body) -> [Int32] {
  var visits = [Int32](repeating: 0, count: max(n, 1))
  visits.withUnsafeMutableBytes { mg_parallel(Int64(n), Int64(grain), body, $0.baseAddress) }
  return Array(visits.prefix(n))
}

@Suite(.serialized) struct PoolTests {
  @Test(arguments: [1, 2, 3, 8] as [Int32])
  func visitsEveryIndexOnce(_ threads: Int32) {
    let before = mg_threads()
    defer { mg_set_threads(before) }
    mg_set_threads(threads)
    for n in [0, 1, 2, 7, 100, 1000] {
      for grain in [0, 1, 3, 64, 5000] {
        #expect(visits(n, grain: grain, count).allSatisfy { $0 == 1 })
        #expect(visits(n, grain: grain, countNested).allSatisfy { $0 == 1 })
      }
    }
  }

  /// Hosts that meet do not wait for each other, and none loses a chunk.
  @Test func hostsMayMeet() {
    let before = mg_threads()
    defer { mg_set_threads(before) }
    mg_set_threads(3)
    let wrong = Atomic<Int>(0)
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for round in 0..<200 where !visits(500, grain: 20, round % 2 == 0 ? count : countNested).allSatisfy({ $0 == 1 }) {
        wrong.add(1, ordering: .relaxed)
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
  }

  @Test func thereIsAlwaysAThread() {
    let before = mg_threads()
    #expect(before >= 1)
    mg_set_threads(-3)
    #expect(mg_threads() == 1)
    mg_set_threads(before)
    #expect(mg_threads() == before)
  }

  /// Large loops of every kind of kernel give the same bits on one thread and on two.
  @Test func resultsDoNotDependOnThreads() {
    let n = 150_000
    var numbers = Numbers(12)
    let x = (0..<n).map { _ in Float(numbers.uniform(-4, 4)) }, z = (0..<n).map { _ in Float(numbers.uniform(0.1, 4)) }
    for op in [MG_NEG, MG_EXP, MG_TANH, MG_SIN, MG_GELU, MG_DIGAMMA] {
      let (one, two): ([Float], [Float]) = onOneAndTwoThreads { filled(n) { mg_unary(op, MG_F32, Int64(n), x, 1, $0) } }
      #expect(areSame(one, two))
    }
    for op in [MG_ADD, MG_POW, MG_REMAINDER] {
      for stride: Int64 in [0, 1] {
        let (one, two): ([Float], [Float]) = onOneAndTwoThreads {
          filled(n) { mg_binary(op, MG_F32, Int64(n), z, 1, z, stride, $0) }
        }
        #expect(areSame(one, two))
      }
    }
    var nest = flat(n)
    let (one, two): ([Float], [Float]) = onOneAndTwoThreads {
      filled(n) { mg_unary2_nd(MG_ELU, MG_F32, &nest, x, 1, 0, $0) }
    }
    #expect(one == two)
  }
}
