// Foundation's small values and tensors, alone and inside of Codable values, both ways.

import Foundation
import Moongrad
import MoongradFoundation
import Testing

private struct Entry: LuaCodable, Equatable {
  var data = Data()
  var time = Date(timeIntervalSince1970: 0)
  var link: URL?
  var parts: [Data] = []
  var times: [String: Date] = [:]
  var links: [URL: Int] = [:]
  /// Codable alone.
  var inner: Inner?
  struct Inner: Codable, Equatable { var data: Data?, time: Date?, link: URL? }
}

private struct Layer: LuaCodable {
  var name: String
  var weight: Tensor
  var bias: Tensor?
  var more: [Tensor] = []
  var nested: Nested?
  struct Nested: Codable { var tensors: [String: Tensor] }
}

/// Codes by the value alone, as a wrapper does.
private struct Wrapped: Codable {
  let tensor: Tensor
  init(_ tensor: Tensor) { self.tensor = tensor }
  init(from decoder: any Decoder) throws { tensor = try Tensor(from: decoder) }
  func encode(to encoder: any Encoder) throws { try tensor.encode(to: encoder) }
}

@Suite struct FoundationTests {
  let session: Session
  init() throws { session = try Session() }

  @Test func alone() throws {
    session["data"] = Data([0, 0xff, 65])
    session["time"] = Date(timeIntervalSince1970: 1.5)
    session["link"] = URL(string: "https://swift.org/a?b#c")
    try session.run("assert(data == '\\0\\xffA' and time == 1.5 and link == 'https://swift.org/a?b#c')")
    #expect(try session.value("data") == Data([0, 0xff, 65]))
    #expect(try session.value("time") == Date(timeIntervalSince1970: 1.5))
    #expect(try session.value("link") == URL(string: "https://swift.org/a?b#c"))
    session["link"] = URL(string: "c", relativeTo: URL(string: "https://swift.org/a/b"))
    #expect(try session.value("link") == "https://swift.org/a/c")
    session["link"] = URL(filePath: "/a b/c.lua")
    #expect(try session.value("link", as: URL.self).path == "/a b/c.lua")
    session["data"] = Data()
    #expect(try session.evaluate("data") == "")
    // A slice has indices of its own.
    session["data"] = Data([1, 2, 3, 4]).dropFirst(2)
    #expect(try session.evaluate("data:byte(1, 2)") == (3, 4))
    session.function("later") { (time: Date, by: Double) in time.addingTimeInterval(by) }
    #expect(
      try session.evaluate("later(os.time{ year = 2000, month = 1, day = 2 }, 60) - os.time{ year = 2000, month = 1, day = 2 }") == 60)
  }

  @Test func inside() throws {
    let (time, link) = (Date(timeIntervalSince1970: 86400.25), try #require(URL(string: "https://swift.org")))
    var entry = Entry(data: Data([1, 0]), time: time, link: link, parts: [Data([2]), Data()], times: ["a": time], links: [link: 3])
    entry.inner = .init(data: Data([7]), time: time, link: link)
    for entry in [entry, Entry(), Entry(inner: .init(data: Data()))] {
      session["entry"] = entry
      #expect(try session.value("entry") == entry)
    }
    session["entry"] = entry
    try session.run(
      """
      assert(entry.data == "\\1\\0" and entry.time == 86400.25 and entry.link == "https://swift.org" and entry.parts[1] == "\\2")
      assert(entry.parts[2] == "" and entry.times.a == entry.time and entry.links["https://swift.org"] == 3)
      assert(entry.inner.data == "\\7" and entry.inner.time == entry.time and entry.inner.link == entry.link)
      entry = { data = "x", time = 5, link = "a:b", parts = {}, times = {}, links = {} }
      """)
    #expect(try session.value("entry") == Entry(data: Data([120]), time: Date(timeIntervalSince1970: 5), link: URL(string: "a:b")))
    // Types that are not one's own, whole.
    try session.set("both", encoding: [entry.inner])
    #expect(try session.value("both", decoding: [Entry.Inner].self) == [entry.inner])
  }

  @Test func mistakes() throws {
    try session.run("entry = { data = 'x', time = 1, parts = { 'a', 3 }, times = {}, links = {}, link = '' }")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.link: expected URL, got a string that is none")
    try session.run("entry.link = 3")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.link: expected URL, got 3")
    try session.run("entry.link = '\\xff'")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.link: expected text in UTF-8, got other bytes")
    try session.run("entry.link = nil")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.parts[2]: expected string, got 3")
    for (time, found) in [("0/0", Double.nan), ("1/0", Double.infinity)].map({ ($0, "\(abs($1))") }) {
      try session.run("entry.parts, entry.time = {}, \(time)")
      #expect(
        message { try session.value("entry", as: Entry.self) }?.hasPrefix("entry.time: expected time in seconds, got ") == true, "\(found)")
    }
    try session.run("entry.time = 'now'")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.time: expected time in seconds, got string")
    try session.run("entry.time, entry.data = 1, {}")
    #expect(message { try session.value("entry", as: Entry.self) } == "entry.data: expected string, got table")
    #expect(message { try session.value("entry.missing", as: Date.self) } == "entry.missing: expected time in seconds, got nil")
  }

  @Test func tensorsInside() throws {
    let (a, b) = (try Tensor([1, 2]), try Tensor([3.0]).markParameter())
    session["layer"] = Layer(name: "x", weight: a, bias: b, more: [b, a], nested: .init(tensors: ["w": a]))
    try session.run("layer.weight:mul_(2) assert(layer.more[2]:sum():item() == 6 and layer.nested.tensors.w:sum():item() == 6)")
    let layer: Layer = try session.value("layer")
    #expect(layer.weight === a && layer.bias === b && layer.more[0] === b && layer.nested?.tensors["w"] === a && a.doubles == [2, 4])
    try session.run("layer.bias, layer.weight = nil, layer.bias * 2")
    let other: Layer = try session.value("layer")
    #expect(other.bias == nil && other.weight.requiresGrad)
    try other.weight.sum().backward()
    #expect(b.grad?.doubles == [2])
    // By the tensor's own coding.
    try session.set("wrapped", encoding: ["w": Wrapped(a)])
    #expect(try session.value("wrapped.w", as: Tensor.self) === a)
    #expect(try session.value("wrapped", decoding: [String: Wrapped].self)["w"]?.tensor === a)
    #expect(message { try session.value("layer.name", decoding: Wrapped.self) } == "layer.name: expected Tensor, got string")
    try session.run("layer.weight = { 1, 2 }")
    #expect(message { try session.value("layer", as: Layer.self) } == "layer.weight: expected Tensor, got table")
    // Freed, and of a session that is closed: the handle is gone, the tensor is not.
    try session.run("layer = { name = 'x', weight = require('moongrad').ones(1), more = {} } layer.weight:free()")
    #expect(message { try session.value("layer", as: Layer.self) } == "layer.weight: expected Tensor, got freed tensor")
    let kept = try { () throws -> Layer in
      let other = try Session()
      try other.run("layer = { name = 'x', weight = require('moongrad').ones(2), more = {} }")
      return try other.value("layer")
    }()
    #expect(kept.weight.doubles == [1, 1])
    // Other coders have no form for a tensor.
    let error = #expect(throws: EncodingError.self) { try JSONEncoder().encode(kept) }
    #expect("\(error as Any)".contains("Lua's values only"))
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(Layer.self, from: Data(#"{"name": "x", "weight": 1, "more": []}"#.utf8))
    }
  }

  /// Labels count from 0 in Swift and from 1 in scripts, and a tensor that crosses is the same: whoever passes them shifts them.
  @Test func labels() throws {
    let (logits, classes) = (try Tensor([[2, 0, 1], [0, 3, 0]]), [2, 1])
    let mine = try Double(logits.crossEntropy(Tensor(classes)))
    session["logits"] = logits
    session["labels"] = try Tensor(classes.map { $0 + 1 })
    let script = "require('moongrad').nn.functional.cross_entropy(logits, labels):item()"
    #expect(try session.evaluate(script) == mine)
    #expect(try logits.argmax(1).integers == [0, 1])
    #expect(try session.evaluate("logits:argmax(2)", as: Tensor.self).integers == [1, 2])
    session["labels"] = try Tensor([0, 1])
    #expect(message { try session.evaluate(script, as: Double.self) }?.contains("0") == true)
  }
}
