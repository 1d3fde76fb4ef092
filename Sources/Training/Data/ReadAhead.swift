// Batches read ahead: a thread that copies rows while the script's computes. It touches no tensors, which are one context's, but
// copies bytes from where the loader says to where it says; whoever asks keeps both until the copying is done.

import Glibc
import Tensors

/// Rows to be copied one behind the other.
final class CopyJob: @unchecked Sendable {
  private let pieces: [(places: [UnsafeRawPointer], byteCount: Int, target: UnsafeMutableRawPointer)]
  fileprivate var isDone = false

  init(_ pieces: [(places: [UnsafeRawPointer], byteCount: Int, target: UnsafeMutableRawPointer)]) { self.pieces = pieces }

  fileprivate func run() {
    for piece in pieces {
      var target = piece.target
      for place in piece.places {
        target.copyMemory(from: place, byteCount: piece.byteCount)
        target += piece.byteCount
      }
    }
  }
}

/// The thread, one for the process: it sleeps while nobody asks.
final class Copier: @unchecked Sendable {
  static let shared = Copier()

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let asked = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let finished = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var waiting: [CopyJob] = []
  private var running: CopyJob?
  private var hasThread = false

  private init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(asked, nil)
    pthread_cond_init(finished, nil)
    // A forked child has no such thread: it begins anew, with what was not copied yet.
    pthread_atfork(
      { pthread_mutex_lock(Copier.shared.mutex) }, { pthread_mutex_unlock(Copier.shared.mutex) }, { Copier.shared.beginAnew() })
  }

  private func beginAnew() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(asked, nil)
    pthread_cond_init(finished, nil)
    hasThread = false
    if let running { waiting.insert(running, at: 0) }
    running = nil
  }

  /// Puts a job behind the others. Where no thread can be made it stays there, to be run by who waits for it.
  func ask(_ job: CopyJob) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    waiting.append(job)
    if !hasThread {
      var thread = pthread_t()
      hasThread =
        pthread_create(
          &thread, nil,
          { _ in
            Copier.shared.work()
          }, nil) == 0
      if hasThread { pthread_detach(thread) }
    }
    pthread_cond_signal(asked)
  }

  /// Returns when the job is done, which is done here if it has not been begun.
  func finish(_ job: CopyJob) {
    pthread_mutex_lock(mutex)
    if let place = waiting.firstIndex(where: { $0 === job }) {
      waiting.remove(at: place)
      pthread_mutex_unlock(mutex)
      return job.run()
    }
    while !job.isDone { pthread_cond_wait(finished, mutex) }
    pthread_mutex_unlock(mutex)
  }

  /// Forgets jobs; none of them is running when it returns.
  func cancel(_ jobs: [CopyJob]) {
    pthread_mutex_lock(mutex)
    waiting.removeAll { job in jobs.contains { $0 === job } }
    while let running, jobs.contains(where: { $0 === running }) { pthread_cond_wait(finished, mutex) }
    pthread_mutex_unlock(mutex)
  }

  private func work() -> Never {
    pthread_mutex_lock(mutex)
    while true {
      while waiting.isEmpty { pthread_cond_wait(asked, mutex) }
      let job = waiting.removeFirst()
      running = job
      pthread_mutex_unlock(mutex)
      job.run()
      pthread_mutex_lock(mutex)
      job.isDone = true
      running = nil
      pthread_cond_broadcast(finished)
    }
  }
}

/// A batch that is being read.
struct BatchAhead {
  let positions: [Int]
  private let results: [Tensor]
  /// Kept while rows of them are copied.
  private let owners: [Storage]
  /// nil where the batch was read at once.
  let job: CopyJob?

  /// Begins to read a batch: on the other thread, or here where rows cannot simply be copied.
  init(_ dataset: any Dataset, _ positions: [Int]) throws {
    self.positions = positions
    guard let columns = try dataset.rows(positions) else {
      results = try dataset.batch(positions)
      (owners, job) = ([], nil)
      return
    }
    results = try columns.map { try Tensor(uninitialized: Shape([positions.count] + $0.shape.array), $0.dtype) }
    owners = columns.flatMap(\.owners)
    let job = CopyJob(zip(columns, results).map { ($0.places, $0.byteCount, $1.data) })
    self.job = job
    Copier.shared.ask(job)
  }

  /// The batch, when it is read.
  func wait() -> [Tensor] {
    if let job { Copier.shared.finish(job) }
    return results
  }
}
