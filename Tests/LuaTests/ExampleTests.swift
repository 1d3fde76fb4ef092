// Runs scripts through the command, as a person does: the examples, README's code, and scripts that are wrong.
import Foundation
import Testing

/// A finished run of `moongrad`.
struct Run {
  let status: Int32
  let output: String
  let error: String

  /// The binary that MOONGRAD_BINARY names, or else the one that was built beside these tests.
  static let binary: URL = {
    if let path = ProcessInfo.processInfo.environment["MOONGRAD_BINARY"] { return URL(filePath: path) }
    return URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "moongrad")
  }()

  /// Runs it in an empty folder of its own, with `input` as standard input.
  init(_ arguments: String..., input: String = "") throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "moongrad-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    // Through files, since a pipe that nobody reads fills up.
    let files = ["in", "out", "error"].map { folder.appending(path: $0) }
    try input.write(to: files[0], atomically: false, encoding: .utf8)
    for file in files[1...] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }

    let process = Process()
    process.executableURL = Run.binary
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.standardInput = try FileHandle(forReadingFrom: files[0])
    process.standardOutput = try FileHandle(forWritingTo: files[1])
    process.standardError = try FileHandle(forWritingTo: files[2])
    try process.run()
    process.waitUntilExit()
    status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    output = try String(contentsOf: files[1], encoding: .utf8)
    error = try String(contentsOf: files[2], encoding: .utf8)
  }

  var errorLines: [Substring] { error.split(separator: "\n") }
}

/// A script in a file that exists while `body` runs.
private func withScript(_ source: String, _ body: (String) throws -> Void) throws {
  let file = FileManager.default.temporaryDirectory.appending(path: "moongrad-\(UUID().uuidString).lua")
  try source.write(to: file, atomically: true, encoding: .utf8)
  defer { try? FileManager.default.removeItem(at: file) }
  try body(file.path)
}

private func example(_ name: String) -> String { Place.checkout.appending(path: "scripts/\(name)").path }

/// The number that follows a text.
private func number(in output: String, after text: String) throws -> Double {
  let rest = try #require(output.components(separatedBy: text).dropFirst().first)
  return try #require(Double(rest.prefix { $0.isNumber || $0 == "." }))
}

@Suite struct ExampleTests {
  @Test func autograd() throws {
    let run = try Run(example("autograd.lua"))
    #expect(run.status == 0)
    #expect(run.error == "")
    let expected = try String(contentsOf: Place.checkout.appending(path: "Tests/Fixtures/examples/autograd.txt"), encoding: .utf8)
    // Errors name the script by the path that it was called by.
    let lines = run.output.replacing(example("autograd.lua"), with: "autograd.lua").split(separator: "\n", omittingEmptySubsequences: false)
    for (line, wanted) in zip(lines, expected.split(separator: "\n", omittingEmptySubsequences: false)) { #expect(line == wanted) }
    #expect(lines.count == expected.split(separator: "\n", omittingEmptySubsequences: false).count)
  }

  @Test func freeze() throws {
    let run = try Run(example("freeze.lua"))
    #expect(run.status == 0)
    #expect(run.error == "")
    // Each parameter before and after, in PyTorch's form and order; trainable ones say so.
    let names = ["hidden.weight", "hidden.bias", "predict.weight", "predict.bias"]
    #expect(run.output.split(separator: "\n").filter { names.contains(String($0)) }.map(String.init) == names + names)
    #expect(run.output.components(separatedBy: "Parameter containing:\n").count == 9)
    #expect(run.output.components(separatedBy: "requires_grad=True)").count == 5)
    #expect(run.output.contains("tensor([[-0.2602, -0.1613,  0.1053, -0.1850,  0.2115,  0.2834, -0.1664, -0.2687,"))
    #expect(run.output.contains("hidden: every bit as before"))
    #expect(run.output.contains("dead units 1, 2, 5, 10: their entries of predict.weight have every bit as before"))
    // The script itself raises where a value is off by more than the noise explains.
    #expect(run.output.contains("largest difference: 0.0"))
  }

  @Test func digits() throws {
    let run = try Run(example("digits.lua"))
    #expect(run.status == 0)
    let shares = run.output.matches(of: /([0-9.]+) %/).compactMap { Double($0.1) }
    try #require(shares.count == 5)
    #expect(shares[1] >= 96, "held-out digits")
    #expect(shares[2] >= 96, "digits 0 to 4")
    #expect(shares[3] < 50, "a last layer that has learned nothing")
    #expect(shares[4] >= 90, "digits 5 to 9 on frozen features")
    #expect(run.output.contains(/hidden\.weight +0 of +8192 changed/))
    #expect(run.output.contains(/hidden\.bias +0 of +128 changed/))
    #expect(run.output.contains(/predict\.bias +5 of +5 changed/))
  }

  @Test func freezeVariants() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "moongrad-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (picture, runs) = (folder.appending(path: "curves.svg").path, folder.appending(path: "runs.jsonl").path)
    let run = try Run(example("freeze_variants.lua"), "4", picture, runs)
    #expect(run.status == 0, "\(run.error)")
    // Training all of it is better than any half for the same seeds, and the random hidden layer is a better half to freeze than the last one.
    func loss(_ variant: String) throws -> Double { try number(in: run.output, after: "\n\(variant)  4     ") }
    let (none, hidden, predict) = (try loss("none                "), try loss("hidden              "), try loss("predict             "))
    #expect(none < hidden && hidden < predict)
    #expect(run.output.contains("difference to none"))
    let drawn = try String(contentsOfFile: picture, encoding: .utf8)
    for words in ["none", "predict, then hidden", "epoch", "mean squared error", "mean ± sd over 4 seeds"] {
      #expect(drawn.contains(">\(words)</text>"))
    }
    // Started again, nothing is left to run: the numbers are the same, times too.
    let again = try Run(example("freeze_variants.lua"), "4", picture, runs)
    #expect(again.output == run.output)
    #expect(try String(contentsOfFile: runs, encoding: .utf8).split(separator: "\n").count == 1 + 5 * 4)
  }

  @Test func transferDigits() throws {
    let picture = FileManager.default.temporaryDirectory.appending(path: "moongrad-\(UUID().uuidString).png")
    defer { try? FileManager.default.removeItem(at: picture) }
    let run = try Run(example("transfer_digits.lua"), "--quick", picture.path)
    #expect(run.status == 0 && !run.output.contains("failed"), "\(run.error) \(run.output)")
    // variant, runs, accuracy %, train s, trained %
    let rows = run.output.matches(
      of: #/(?m)^(\w[\w -]*?) +3 +([\d.]+) ± [\d.e-]+ +[\d.]+ ± [\d.e-]+ +([\d.]+) ± 0 /#)
    let shares = Dictionary(uniqueKeysWithValues: rows.map { (String($0.1), (right: Double($0.2)!, trained: Double($0.3)!)) })
    #expect(shares.count == 6, "\(run.output)")
    #expect(shares.values.allSatisfy { $0.right > 40 })
    #expect(shares["all of it"]?.trained == 100 && shares["gradual unfreezing"]?.trained == 100 && shares["from scratch"]?.trained == 100)
    // 1,285 of 20,293 numbers; and of 21,865 those, 192 of batch norms, and the 1,572 of the adapters.
    #expect(
      abs((shares["frozen convolutions"]?.trained ?? 0) - 6.332) < 0.001 && abs((shares["low-rank adapters"]?.trained ?? 0) - 13.94) < 0.01)
    #expect(try Data(contentsOf: picture).starts(with: [0x89, 0x50, 0x4e, 0x47]))
  }

  @Test func iris() throws {
    let run = try Run(example("iris.lua"))
    #expect(run.status == 0)
    #expect(run.error == "")
    let share = try number(in: run.output, after: "held-out flowers told apart: ")
    #expect(share >= 90)
    // The table has all held-out flowers, and those off its diagonal are shown one by one.
    let counts = run.output.matches(of: /(?m)^(?:setosa|versicolor|virginica) +(\d+) +(\d+) +(\d+)$/)
      .flatMap { [Int($0.1)!, Int($0.2)!, Int($0.3)!] }
    try #require(counts.count == 9)
    #expect(counts.reduce(0, +) == 50)
    #expect(run.output.components(separatedBy: "was taken for a ").count - 1 == 50 - counts[0] - counts[4] - counts[8])
  }

  // The examples that take longer have a short setting, in which they must have learned something.

  @Test func digitsCNN() throws {
    let run = try Run(example("digits_cnn.lua"), "--quick")
    #expect(run.status == 0, "\(run.error)")
    let share = try number(in: run.output, after: "held-out digits read right: ")
    #expect(share >= 92)
    #expect(run.output.contains("██"), "a misread picture")
  }

  @Test func charGRU() throws {
    let run = try Run(example("char_gru.lua"), "--quick")
    #expect(run.status == 0, "\(run.error)")
    let bits = run.output.matches(of: /step \d+: ([0-9.]+) bits/).compactMap { Double($0.1) }
    #expect(bits.count == 6 && bits == bits.sorted(by: >))
    #expect(try #require(bits.last) < 4.2, "it knows no more than how often letters occur, which is worth 4.38")
    #expect(run.output.components(separatedBy: "\n  Alice ").count == 7)
  }

  @Test func vae() throws {
    let run = try Run(example("vae.lua"), "--quick")
    #expect(run.status == 0, "\(run.error)")
    let rows = run.output.matches(of: /(?m)^ +\d+ +(-[0-9.]+) +(-[0-9.]+) +(-[0-9.]+) +([0-9.]+)$/)
      .map { [Double($0.1)!, Double($0.2)!, Double($0.3)!, Double($0.4)!] }
    try #require(rows.count == 2)
    #expect(rows[1][0] > rows[0][0] && rows[1][1] > rows[0][1], "the bound rises")
    #expect(rows[1][1] > -28.5, "more is known than the mean of all pictures")
    for row in rows { #expect(abs(row[2] - row[3] - row[1]) < 0.02) }
    #expect(run.output.matches(of: /(?m)^.*[▒▓█].*$/).count >= 28, "four rows of pictures")
  }

  @Test func pinn() throws {
    let run = try Run(example("pinn.lua"), "--quick")
    #expect(run.status == 0, "\(run.error)")
    #expect(try number(in: run.output, after: "relative error in the plane: ") < 0.5)
    // exp(-0.2 π² / 4) sin(0.4 π) and exp(-0.2 π²) sin(0.2 π).
    #expect(run.output.contains(/t = 0\.25 +exact +0\.0000 +0\.3588 +0\.5806/))
    #expect(run.output.contains(/t = 1\.00 +exact +0\.0000 +0\.0816/))
  }

  @Test func tinyGPT() throws {
    let run = try Run(example("tiny_gpt.lua"), "--quick")
    #expect(run.status == 0, "\(run.error)")
    let bits = run.output.matches(of: /(?m)^ +\d+ +([0-9.]+) █+$/).compactMap { Double($0.1) }
    try #require(bits.count == 20)
    #expect(bits[0] > 5 && bits[19] < 4.2, "it knows no more than how often letters occur, which is worth 4.38")
    for beginning in ["Alice ", "The rabbit", "Down, "] { #expect(run.output.contains("\n  \(beginning)")) }
  }

  @Test func readme() throws {
    let text = try String(contentsOf: Place.checkout.appending(path: "README.md"), encoding: .utf8)
    let blocks = text.matches(of: /(?ms)^```lua\n(.*?)^```/).map { String($0.1) }
    // What each prints: the freezing, then the questions to a graph, batches, the tools for freezing, an experiment, adapters, and saving, which prints nothing.
    let outputs: [Regex<AnyRegexOutput>] = try [
      Regex("^Parameter containing:"),
      Regex("(?s)AccumulateGrad  b  data = 3\\.0.*was detached at .*:6.*freed by an earlier backward at .*:7;"),
      Regex("^(\\{16, 4\\}\t\\{16\\}\n){5}$"),
      Regex(
        "(?s)^froze 2 parameters: 0.weight, 0.bias; 9 of 25 numbers are trained.*25 parameters, 9 trained.*0.weight +frozen +no .*2.weight +trained +yes"
      ), Regex("(?s)^variant  runs  loss .*\nlast +5 +0\\.\\d+ ± .*\ndifference to none  metric.*\nfirst +loss +.* … .*"),
      Regex(
        "(?s)^frozen +trained +metric +difference.*\n\\(nothing\\) +100.0 %.*rank 4, alpha 4: 2 \\(Linear\\); 512 of 5825 numbers are trained \\(8.8 %\\)"
      ),
      Regex("^$"),
    ]
    #expect(blocks.count == outputs.count)
    for (block, output) in zip(blocks, outputs) {
      try withScript(block) { path in
        let run = try Run(path)
        #expect(run.status == 0)
        #expect(run.error == "")
        #expect(try output.firstMatch(in: run.output) != nil, "\(run.output)")
      }
    }
  }
}

/// What README and the articles show of Swift stands in sources that are compiled, and is tested there.
@Suite struct SampleTests {
  private static let articles = "Sources/Moongrad/Moongrad.docc"
  private static func text(_ path: String) throws -> String {
    try String(contentsOf: Place.checkout.appending(path: path), encoding: .utf8)
  }

  /// Samples differ from their twins in indentation, in spaces before comments and in imports.
  private static func plain(_ code: String) -> String {
    code.split(separator: "\n").filter { !$0.hasPrefix("import ") }.joined(separator: " ").split(separator: " ").joined(separator: " ")
  }

  private static let sources = Result {
    try [
      "Sources/Tensors/Operations", "Tests/TrainingTests", "Tests/MoongradTests", "Tests/MoongradTests/Articles",
      "scripts/host/Sources/Host",
    ]
    .flatMap { folder in
      try FileManager.default.contentsOfDirectory(atPath: Place.checkout.appending(path: folder).path)
        .filter { $0.hasSuffix(".swift") }.map { plain(try text("\(folder)/\($0)")) }
    }
  }

  private static let documents = Result {
    try ["README.md"]
      + FileManager.default.contentsOfDirectory(atPath: Place.checkout.appending(path: articles).path)
      .filter { $0.hasSuffix(".md") }.sorted().map { "\(articles)/\($0)" }
  }

  @Test func swiftCode() throws {
    let sources = try SampleTests.sources.get()
    var count = 0
    for document in try SampleTests.documents.get() {
      for block in try SampleTests.text(document).matches(of: /(?ms)^```swift\n(.*?)^```/).map({ String($0.1) }) {
        // A manifest is no part of a target; that of `scripts/host` is built.
        if block.hasPrefix("// swift-tools-version") { continue }
        let sample = SampleTests.plain(block)
        #expect(sources.contains { $0.contains(sample) }, "\(document): no source has\n\(block)")
        count += 1
      }
    }
    #expect(count >= 40)
  }
}

/// The topics once more, through the command: by scripts/test it is the release build, whose loops are other machine code.
@Suite struct TopicsThroughTheCommandTests {
  @Test(arguments: LuaTests.topics) func topic(_ name: String) throws {
    let run = try Run(Place.tests.appending(path: "topics/\(name).lua").path)
    #expect(run.status == 0, "\(run.error)")
    #expect(run.output == "")
  }
}

/// MoongradTests has the command line's own tests; here are scripts that are wrong in themselves.
@Suite struct MistakenScriptTests {
  @Test func syntaxError() throws {
    try withScript("local x = 1\nlocal = 2\n") { path in
      let run = try Run(path)
      #expect(run.status == 1)
      #expect(run.output == "")
      #expect(run.errorLines.first == "moongrad: \(path):2: <name> expected near '='")
      #expect(!run.error.contains("traceback"))
    }
  }

  /// Editors of other systems begin files with a byte order mark. Line numbers stay.
  @Test(arguments: ["", "#!/usr/bin/env moongrad\n"]) func byteOrderMark(_ first: String) throws {
    try withScript("\u{FEFF}return 5") { module in
      let name = URL(filePath: module).deletingPathExtension().lastPathComponent
      let source = "\u{FEFF}\(first)print(require '\(name)')\nerror 'here'"
      let line = first.isEmpty ? 2 : 3
      try withScript(source) { path in
        let run = try Run(path)
        #expect(run.output.hasPrefix("5\t"))
        #expect(run.errorLines.first == "moongrad: \(path):\(line): here")
      }
      let run = try Run("-", input: source.replacing("print(require '\(name)')", with: "print(5)"))
      #expect(run.output == "5\n")
      #expect(run.errorLines.first == "moongrad: stdin:\(line): here")
    }
  }

  @Test func binaryChunk() throws {
    try withScript("\u{1b}Lua") { path in
      let run = try Run(path)
      #expect(run.status == 1)
      #expect(run.errorLines.first?.contains("binary") == true)
    }
  }

  @Test(arguments: [
    "error()", "local x <close> = 3", "coroutine.wrap(error)('inside')", "string.rep('x', 1 << 40)",
    "require('moongrad').zeros(1 << 40, 1 << 40)", "require('moongrad').zeros(1 << 40)", "local function f() return 1 + f() end f()",
    "local function f() return pcall(f) end f() error('out')", "local t = setmetatable({}, {}) t.x.y = 1",
    "local x = require('moongrad').ones(2, { requires_grad = true }) x:backward()",
  ]) func everyErrorEndsWithStatus1(_ source: String) throws {
    try withScript(source) { path in
      let run = try Run(path)
      #expect(run.status == 1)
      #expect(run.error.hasPrefix("moongrad: "))
    }
  }
}
