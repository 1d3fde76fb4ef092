// The game's world, which is Swift's own: a hare that looks for carrots between rocks, and a fox.

import Moongrad

/// A place on the board, counted from 1. Scripts have it as a table, `world.hare.x`.
struct Cell: LuaCodable, Hashable {
  var x, y: Int

  /// Steps on a board without rocks.
  func distance(to other: Cell) -> Int { abs(x - other.x) + abs(y - other.y) }
}

/// A step. Scripts have its number, which counts from 1 as theirs do.
enum Move: Int, LuaCodable, CaseIterable {
  case north = 1, east, south, west
}

/// What scripts hold as it is, and see through the members that `register` lists.
final class World: HostObject {
  private static let picture = [
    "........",
    "..##..#.",
    "......#.",
    ".#..#...",
    ".#..#.#.",
    "....#.#.",
    ".##.....",
    "......#.",
  ].map(Array.init)
  private static let (burrow, den) = (Cell(x: 1, y: 1), Cell(x: 8, y: 8))
  static let cells = (1...8).flatMap { y in (1...8).map { Cell(x: $0, y: y) } }.filter { picture[$0.y - 1][$0.x - 1] == "." }

  private(set) var hare = World.burrow
  /// nil while it is away.
  private(set) var fox: Cell?
  private(set) var carrot = Cell(x: 6, y: 4)
  private(set) var ticks = 0
  private(set) var eaten = 0
  private(set) var caught = 0

  /// One tick: the hare moves, and after it the fox if it does.
  func tick(hare move: Move, fox foxMove: Move?) {
    ticks += 1
    hare = World.cell(hare, after: move)
    if let foxMove { fox = fox.map { World.cell($0, after: foxMove) } }
    if hare == fox {
      caught += 1
      (hare, fox) = (World.burrow, World.den)
    } else if hare == carrot {
      eaten += 1
      // As good as by chance, and the same in every run.
      carrot = World.cells[(eaten * 37 + 11) % World.cells.count]
    }
  }

  func foxComes() { fox = World.den }
  func foxLeaves() { fox = nil }

  /// Where a step leads to; in front of rocks and edges one stays.
  static func cell(_ cell: Cell, after move: Move) -> Cell {
    var next = cell
    switch move {
    case .north: next.y -= 1
    case .east: next.x += 1
    case .south: next.y += 1
    case .west: next.x -= 1
    }
    return cells.contains(next) ? next : cell
  }

  /// Whether the fox could not be where the hare is, after this step and the fox's next.
  func isSafe(_ move: Move) -> Bool {
    guard let fox else { return true }
    return World.cell(hare, after: move).distance(to: fox) > 1
  }

  /// What the policy looks at: the columns and rows of the hare and of the carrot, each as eight numbers of which one is 1.
  func view() throws -> Tensor { try Tensor(World.view(hare, carrot)) }

  static func view(_ hare: Cell, _ carrot: Cell) -> [Double] {
    [hare.x, hare.y, carrot.x, carrot.y].flatMap { place in (1...8).map { $0 == place ? 1 : 0 } }
  }

  var description: String {
    World.picture.enumerated().map { y, row in
      "    "
        + row.enumerated().map { x, sign in
          switch Cell(x: x + 1, y: y + 1) {
          case hare: "🐇"
          case fox: "🦊"
          case carrot: "🥕"
          default: sign == "#" ? "🪨" : " ·"
          }
        }.joined()
    }.joined(separator: "\n")
  }

  // MARK: For scripts

  /// What every script sees, and `more` for one that is trusted.
  static func register(in session: Session, _ more: (HostType<World>) -> Void = { _ in }) throws {
    try session.register(World.self) {
      $0.property("hare", \.hare)
      $0.property("fox", \.fox)
      $0.property("carrot", \.carrot)
      $0.property("ticks", \.ticks)
      more($0)
    }
    session["move"] = Dictionary(uniqueKeysWithValues: Move.allCases.map { ("\($0)", $0) })
  }
}
