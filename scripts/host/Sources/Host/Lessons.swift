// What the policy learns from: every situation, and a step that leads to the carrot by a shortest way.

import Moongrad

struct Lessons {
  let views, moves: Tensor
  /// For each situation the steps that are as good as the best.
  let best: [Set<Move>]

  init() throws {
    var views: [[Double]] = []
    var best: [Set<Move>] = []
    for carrot in World.cells {
      let ways = Lessons.distances(to: carrot)
      for hare in World.cells where hare != carrot {
        views.append(World.view(hare, carrot))
        best.append(Set(Move.allCases.filter { ways[World.cell(hare, after: $0)]! < ways[hare]! }))
      }
    }
    self.best = best
    self.views = try Tensor(views)
    // Classes count from 1 in scripts, as the moves do.
    moves = try Tensor(best.map { moves in Move.allCases.first(where: moves.contains)!.rawValue })
  }

  /// The length of the shortest way from everywhere.
  private static func distances(to carrot: Cell) -> [Cell: Int] {
    var (ways, next) = ([carrot: 0], [carrot])
    while let cell = next.first {
      next.removeFirst()
      for other in Move.allCases.map({ World.cell(cell, after: $0) }) where ways[other] == nil {
        ways[other] = ways[cell]! + 1
        next.append(other)
      }
    }
    return ways
  }

  /// In how many situations of a hundred a net's step is a best one. No script is asked: the net is a module of Swift's.
  func score(_ net: Module) throws -> Double {
    let chosen = try withNoGrad { try net(views).argmax(1).doubles }
    let good = zip(chosen, best).count { chosen, best in best.contains(Move.allCases[Int(chosen)]) }
    return 100 * Double(good) / Double(best.count)
  }
}
