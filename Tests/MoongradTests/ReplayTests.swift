// Random programs as graphs: what a program records is all that is needed to run it with other values.

import Foundation
import Moongrad
import Testing

@Suite struct ReplayTests {
  /// A program of Tests/Fixtures/autograd/programs.txt up to its backward, or up to that of the second gradients.
  struct Program: CustomTestStringConvertible {
    let number: String
    var statements: [String]

    var testDescription: String { "program \(number)" }

    /// The name of the leaf that the statement makes, if it does and the leaf requires grad.
    static func leaf(madeBy statement: String) -> String? {
      (try? /([a-d]) = mg\.tensor\(.*, \{ requires_grad = true \}\)/.wholeMatch(in: statement)).map { String($0.1) }
    }

    /// The names of all that is assigned.
    var variables: [String] {
      var names: [String] = []
      for statement in statements {
        guard let targets = try? /([a-z]\d*(?:, [a-z]\d*)*) = .*/.wholeMatch(in: statement)?.1 else { continue }
        for name in targets.split(separator: ", ").map(String.init) where !names.contains(name) { names.append(name) }
      }
      return names
    }

    /// Whether the graph knows where everything comes from. It does not where values leave it and come back (detach, `.data`,
    /// no_grad, and requires_grad_ on what those made), nor where a condition is asked of a variable: a mask is a constant to
    /// the graph, although it would be another with other leaves. Conditions on literals are constants indeed.
    var isPure: Bool {
      statements.allSatisfy { statement in
        !statement.contains(/detach|\.data[^a-z]|no_grad|requires_grad_/)
          && !statement.replacing(/mg\.tensor\([^()]*\):(gt|lt)\(/, with: "").contains(/:(gt|lt)\(/)
      }
    }

    /// Whether no gradient chooses by the values (by their sign, their order), so that gradients too are a graph's alone.
    var isSmooth: Bool {
      statements.allSatisfy { !$0.contains(/abs|relu|elu\(|clamp|softsign|hardswish|[:a](max|min)|median|sort|topk|kthvalue/) }
    }

    /// Runs the program in a fresh session, each leaf that requires grad being what `leaf` answers for its name, if anything.
    func run(leaf: (String) throws -> Tensor?) throws -> Session {
      let session = try Session()
      try session.run(#"mg = require "moongrad"; F = mg.nn.functional; mg.set_default_dtype "float64""#)
      for (position, statement) in statements.enumerated() {
        if let name = Program.leaf(madeBy: statement), let tensor = try leaf(name) {
          session[name] = tensor
        } else {
          try session.run(statement, name: "\(testDescription), statement \(position + 1)")
        }
      }
      return session
    }
  }

  /// The programs, and what follows: gradients with a graph, and the sum of them that is differentiated in turn.
  static let all: [(title: Substring, program: Program, second: [String])] = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Fixtures/autograd/programs.txt")
    let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
    return text.split(separator: "\n\n").dropFirst().map { block in
      let lines = block.split(separator: "\n")
      let title = lines[0].dropFirst("program ".count)
      let statements = lines.dropFirst().prefix { !$0.hasPrefix(": ") }.map(String.init)
      let forward = statements.prefix { !$0.contains(/backward\(|autograd\.grad\(/) }
      let second = statements.dropFirst(forward.count).filter { $0.hasPrefix("g") && $0.contains("create_graph") || $0.hasPrefix("s = ") }
      return (title, Program(number: String(title.prefix { $0 != " " }), statements: Array(forward)), second)
    }
  }()

  private static let known = all.filter { !$0.title.hasSuffix("raises") && $0.program.isPure }
  /// Those that PyTorch runs to the end and whose graphs know all.
  static let programs = known.map(\.program)
  /// Those of them with gradients that have a graph too.
  static let seconds = known.filter { $0.second.count == 2 && $0.program.isSmooth }.map { _, program, second in
    Program(number: program.number, statements: program.statements + second)
  }

  @Test func thereAreMany() {
    #expect(ReplayTests.all.count >= 400)
    #expect(ReplayTests.programs.count >= 200)
    #expect(ReplayTests.seconds.count >= 20)
    // In-place writes are among them.
    #expect(ReplayTests.programs.count { $0.statements.contains { $0.contains(/\w_\(/) } } >= 40)
  }

  /// The graph that a program recorded, computed again with other leaves, gives bit for bit the values and the gradients of
  /// the program run again with those leaves.
  @Test(arguments: programs) func replay(_ program: Program) throws {
    // −0 is not 0.
    try expectReplayed(program) { $0.bitPattern == $1.bitPattern || $0.isNaN && $1.isNaN }
  }

  /// The same of the graphs that gradients have. Not to the last bit: constants among a product's factors are transposed there,
  /// and packed in the graph, by which the product adds up in another order.
  @Test(arguments: seconds) func replayOfGradients(_ program: Program) throws {
    try expectReplayed(program) { $0 == $1 || $1.isFinite && ($0 - $1).magnitude <= 1e-12 * (1 + $1.magnitude) || $0.isNaN && $1.isNaN }
  }

  private func expectReplayed(_ program: Program, _ isSame: (Double, Double) -> Bool) throws {
    func agree(_ a: Tensor?, _ b: Tensor?) -> Bool {
      guard let a, let b else { return a === b }
      return a.shape == b.shape && a.dtype == b.dtype && zip(a.doubles, b.doubles).allSatisfy(isSame)
    }
    let first = try Replay.recording { try program.run { _ in nil } }
    try first.context.run {
      let names = program.variables.filter { name in
        guard let tensor: Tensor = first[name] else { return false }
        // Views that a write to their base made unusable are none.
        return (try? tensor.feeds()) == true && !tensor.isLeaf
      }
      let replay = try Replay(names.map { try first.value($0) })
      try #require(!replay.leaves.isEmpty)
      let leaves = try replay.leaves.map { leaf in
        let found = program.variables.first { first[$0] as Tensor? === leaf }
        return (name: try #require(found), value: try leaf.varied())
      }
      let found = try replay.run(leaves.map(\.value))

      let others = try leaves.map { try $0.value.fresh() }
      let again = try program.run { name in
        leaves.firstIndex { $0.name == name }.map { others[$0] }
      }
      let expected: [Tensor] = try names.map { try again.value($0) }
      for (number, name) in names.enumerated() {
        #expect(agree(found[number], expected[number]), "\(name) is \(found[number].doubles), not \(expected[number].doubles)")
      }
      // Of each alone, and of all together that can be differentiated: what was written to since it was kept cannot in the
      // program, and can in the graph, which has every value anew.
      var differentiable: [Int] = []
      func compare(_ roots: [Int]) throws {
        guard let wanted = try again.context.run({ try gradients(of: roots.map { expected[$0] }, by: others) }) else { return }
        let got = try gradients(of: roots.map { found[$0] }, by: leaves.map(\.value))
        if roots.count == 1 { differentiable += roots }
        for (number, leaf) in leaves.enumerated() {
          let (a, b) = (got?[number], wanted[number])
          #expect(
            agree(a, b),
            "the gradient of \(roots.map { names[$0] }.joined(separator: ", ")) by \(leaf.name) is \(a?.doubles ?? []), not \(b?.doubles ?? [])"
          )
        }
      }
      for root in names.indices { try compare([root]) }
      #expect(!differentiable.isEmpty)
      try compare(differentiable)
    }
  }

  /// The gradients of Σ w · root over all roots, w = cos(i); nil where a write has spoilt what they need.
  private func gradients(of roots: [Tensor], by leaves: [Tensor]) throws -> [Tensor?]? {
    let seeds = try roots.map { root in
      try Tensor((0..<root.count).map { Foundation.cos(Double($0)) }, shape: root.shape, dtype: root.dtype)
    }
    do {
      return try Tape.gradients(of: roots, seeds, inputs: leaves, options: BackwardOptions(retainGraph: true))
    } catch let error as TensorError where "\(error)".contains("was modified by an in-place operation") {
      return nil
    }
  }
}

extension Tensor {
  /// A leaf with other elements of about the same size.
  fileprivate func varied() throws -> Tensor {
    let elements = doubles.reversed().enumerated().map { 0.75 * $1 + 0.25 * Foundation.sin(Double($0)) + 0.0625 }
    let result = try Tensor(elements, shape: shape, dtype: dtype)
    try result.setRequiresGrad(true)
    return result
  }

  /// A leaf with these elements.
  fileprivate func fresh() throws -> Tensor {
    let result = try detach().clone()
    try result.setRequiresGrad(true)
    return result
  }
}
