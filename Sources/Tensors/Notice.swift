// Warnings that the library has for its users, from places that cannot give them: a collection, the recording of an
// operation. The layer above fetches them before its next call and gives them in its own way.

import Synchronization

/// Warnings that wait to be given.
package enum Notice {
  private static let isWaiting = Atomic<Bool>(false)
  private static let texts = Mutex<[String]>([])

  /// Leaves a warning to be fetched; one that waits already is not left twice.
  package static func post(_ text: String) {
    texts.withLock { if !$0.contains(text) { $0.append(text) } }
    isWaiting.store(true, ordering: .releasing)
  }

  /// Whether `take` has something.
  @inline(__always)
  package static var isPending: Bool { isWaiting.load(ordering: .relaxed) }

  /// The warnings that waited, in order; they wait no more.
  package static func take() -> [String] {
    isWaiting.store(false, ordering: .relaxed)
    return texts.withLock { list in
      defer { list = [] }
      return list
    }
  }
}
