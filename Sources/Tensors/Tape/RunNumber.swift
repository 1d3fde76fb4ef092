// Backward runs are numbered through the whole process: runs of several contexts meet on the nodes and leaves of one graph.

import Synchronization

/// The number of a backward run, by which nodes and leaves know whose turn marked them; 0 is no run's.
enum RunNumber {
  private static let counter = Atomic<UInt32>(0)

  static func fresh() -> UInt32 {
    while true {
      let number = counter.wrappingAdd(1, ordering: .relaxed).newValue
      if number != 0 { return number }
    }
  }

  /// That of the newest run anywhere.
  static var last: UInt32 { counter.load(ordering: .relaxed) }
}
