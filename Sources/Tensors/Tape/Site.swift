// Lines of scripts, by which errors and drawings name what a script did. Whoever runs scripts says which line is being
// executed and how such a number reads (see mg_site); programs in Swift have none.

import CKernels
import Synchronization

/// A line of a script.
package enum Site {
  /// In a struct, since a bare closure is wrapped once more each time it is read out of a generic container.
  private struct Reader: Sendable {
    let read: @Sendable (UInt32) -> String?
  }
  private static let reader = Mutex<Reader?>(nil)

  /// Sets what turns a site into `train.lua:12`.
  package static func describe(by read: @escaping @Sendable (UInt32) -> String?) {
    reader.withLock { $0 = Reader(read: read) }
  }

  /// `train.lua:12`; nil for 0.
  package static func text(_ site: UInt32) -> String? {
    site == 0 ? nil : reader.withLock { $0 }?.read(site)
  }

  /// ` at train.lua:12`, or nothing.
  static func phrase(_ site: UInt32, _ preposition: String = "at") -> String {
    text(site).map { " \(preposition) \($0)" } ?? ""
  }
}
