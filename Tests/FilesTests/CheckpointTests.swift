// Checkpoints: what is saved comes back, shared where it was shared; files that lie are refused; and PyTorch's own files.

import Files
import Foundation
import Tensors
import Testing

@Suite struct CheckpointTests {
  private func roundTrip(_ value: Checkpoint.Value) throws -> Checkpoint.Value {
    var result = Checkpoint.Value.none
    try withFolder { folder in
      try Checkpoint.save(value, to: folder + "/a")
      result = try Checkpoint.load(folder + "/a")
    }
    return result
  }

  @Test func values() throws {
    let numbers: [Double] = [0, -0.0, 0.1, 1e300, 5e-324, .nan, .infinity, -.infinity, 3, 0x1p60]
    let value: Checkpoint.Value = [
      "list": [1, 2.0, "three", true, nil, -7], "numbers": .table(.init(list: numbers.map { .number($0) })),
      "text": "é\u{0}\u{1F600}\n\"\\",
      "bytes": .bytes([0, 255, 254]), "max": .integer(.max), "min": .integer(.min), "empty": [:], "nested": ["a": ["b": ["c": 1]]],
    ]
    let keyed = Checkpoint.Table()
    keyed[.number(2.5)] = 1
    keyed[.boolean(true)] = 2
    keyed[.bytes([200])] = 3
    keyed[.integer(-4)] = 4
    value.table?["keyed"] = .table(keyed)
    let read = try roundTrip(value)
    #expect(read["list"].list?.map(\.found) == ["1", "2.0", "\"three\"", "true"])
    #expect(read["list"].table?[.integer(6)].integer == -7)
    #expect(read["numbers"].list?.map { $0.number?.bitPattern } == numbers.map { $0.bitPattern })
    #expect(read["text"].text == "é\u{0}\u{1F600}\n\"\\")
    #expect(read["bytes"].found == "a string of 3 bytes")
    #expect(read["max"].integer == .max && read["min"].integer == .min)
    #expect(read["empty"].table?.entries.count == 0)
    #expect(read["nested"]["a"]["b"]["c"].integer == 1)
    for (key, value) in keyed.entries { #expect(read["keyed"].table?[key].integer == value.integer) }
    #expect(try roundTrip(3).integer == 3)
    #expect(try roundTrip("x").text == "x")
  }

  @Test func tensors() throws {
    for dtype in DType.allCases {
      let base = try Tensor((0..<24).map { Double($0 % 3) }, shape: [2, 3, 4], dtype: dtype)
      let forms: [Tensor] = try [
        base, base.transpose(0, 2), base.select(1, 1), base.narrow(2, 1, 2), Tensor.zeros([], dtype: dtype),
        Tensor.zeros([0, 3], dtype: dtype),
        Tensor.ones([1], dtype: dtype).expand([5, 7]), base.permute([1, 2, 0]),
      ]
      for form in forms {
        let alone = try #require(try roundTrip(.tensor(form)).tensor)
        #expect(alone.content == form.content)
        #expect(alone.layout.isContiguous == form.layout.isContiguous || form.count < base.count, "\(form.shape)")
      }
      let all = try #require(try roundTrip(.table(.init(list: forms.map(Checkpoint.Value.tensor)))).list)
      for (form, read) in zip(forms, all) { #expect(read.tensor?.content == form.content) }
      // The first, second, third, fourth and last share elements.
      _ = try all[0].tensor?.fill(Scalar.integer(1))
      for place in [1, 2, 3, 7] { #expect(all[place].tensor?.doubles.allSatisfy { $0 == 1 } == true, "\(dtype) \(place)") }
    }
  }

  @Test func whatIsShared() throws {
    let weight = try Tensor.ones([3, 3]).markParameter()
    let frozen = try Tensor.ones([2]).markParameter(requiresGrad: false)
    let table: Checkpoint.Value = ["x": 1]
    let read = try roundTrip([
      "a": .tensor(weight), "b": .tensor(weight), "tied": .tensor(weight.detach()), "frozen": .tensor(frozen), "t": table,
      "u": ["t": table],
      "product": .tensor(try weight * 2),
    ])
    #expect(read["a"].tensor === read["b"].tensor)
    #expect(read["a"].tensor?.isParameter == true && read["a"].tensor?.requiresGrad == true)
    #expect(read["tied"].tensor?.isParameter == false && read["tied"].tensor?.requiresGrad == false)
    #expect(read["frozen"].tensor?.isParameter == true && read["frozen"].tensor?.requiresGrad == false)
    #expect(read["product"].tensor?.isLeaf == true && read["product"].tensor?.requiresGrad == true)  // a file keeps no history
    #expect(read["t"].table === read["u"]["t"].table)
    _ = try read["tied"].tensor?.fill(Scalar.integer(5))
    #expect(read["a"].tensor?.doubles == Array(repeating: 5, count: 9))
  }

  @Test func sizes() throws {
    try withFolder { folder in
      func size(_ value: Checkpoint.Value) throws -> Int {
        try Checkpoint.save(value, to: folder + "/a")
        return try InputFile(folder + "/a").size!
      }
      let large = try Tensor.ones([1000, 1000])
      let (first, last) = (try large.select(0, 0), try large.select(0, 999))
      #expect(try size(["a": .tensor(first), "b": .tensor(last)]) < 10_000)
      #expect(try size(["a": .tensor(large.select(1, 5))]) < 6_000)
      #expect(try size(["a": .tensor(Tensor.ones([1]).expand([1_000_000]))]) < 1_000)
      #expect(try size(["a": .tensor(large), "b": .tensor(large.detach()), "c": .tensor(large.transpose(0, 1))]) < 4_002_000)
    }
  }

  @Test func whatCannotBeSaved() throws {
    try withFolder { folder in
      let path = folder + "/a"
      try Checkpoint.save(1, to: path)
      let table = Checkpoint.Table()
      table["a"] = [1, .table(table)]
      #expect(problem { try Checkpoint.save(["x": .table(table)], to: path) } == "x.a[2] is x itself, and a file holds no cycles")
      var deep: Checkpoint.Value = 1
      for _ in 0..<201 { deep = [deep] }
      #expect(problem { try Checkpoint.save(deep, to: path) }.hasSuffix("is nested more than 200 tables deep"))
      #expect(try Checkpoint.load(path).integer == 1)  // the old file is as it was
      deep = 1
      for _ in 0..<200 { deep = [deep] }
      try Checkpoint.save(deep, to: path)
      _ = try Checkpoint.load(path)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a"])
    }
  }

  /// What is said of a file with that structure and a tensor `w` of six elements.
  private func reading(_ structure: String) -> String {
    var text = ""
    try? withFolder { folder in
      let path = folder + "/a"
      try SafetensorsFile.write([("w", try Tensor.ones([2, 3]))], metadata: [("moongrad.checkpoint", structure)], to: path)
      text = problem { _ = try Checkpoint.load(path) }
    }
    return text
  }

  @Test func whatLies() throws {
    func tensor(_ description: String) -> String {
      reading(#"{"version":1,"value":{"tensor":0},"tables":[],"tensors":[\#(description)]}"#)
    }
    func tables(_ tables: String, _ value: String = "1") -> String {
      reading(#"{"version":1,"value":\#(value),"tables":[\#(tables)],"tensors":[]}"#)
    }
    #expect(tensor(#"{"name":"w"}"#) == "")
    #expect(tensor(#"{"name":"w","shape":[2,2],"strides":[3,1],"offset":1}"#) == "")
    for (shape, strides, offset) in [
      ("2,2", "3,1", "2"), ("7", "1", "0"), ("2", "9223372036854775807", "0"), ("2", "-1", "1"), ("3", "4611686018427387904", "0"),
      ("1", "1", "6"),
      ("1", "1", "-1"), ("2,2", "1", "0"),
    ] {
      let problem = tensor(#"{"name":"w","shape":[\#(shape)],"strides":[\#(strides)],"offset":\#(offset)}"#)
      #expect(problem.contains("goes beyond the 6 elements of its part"), "\(shape)")
    }
    #expect(tensor(#"{"name":"v"}"#) == "moongrad.checkpoint: tensor 0 is no part of the file")
    #expect(tensor(#"{"name":"w","order":[0,0]}"#).contains("an impossible order"))
    #expect(tensor(#"{"name":"w","order":[1,0]}"#) == "")
    #expect(tensor(#"{"name":"w","requires_grad":1}"#).contains("requires_grad is not a boolean"))
    #expect(tables("{}", #"{"table":0}"#) == "")
    #expect(tables("{}", #"{"table":1}"#).contains("refers to table 1"))
    #expect(tables(#"{"list":[{"table":0}]}"#, #"{"table":0}"#).contains("table 0 refers to table 0, which is not complete there"))
    #expect(tables(#"{"entries":[["a",1],["a",2]]}"#).contains("has the key a twice"))
    #expect(tables(#"{"list":[1],"entries":[[1.0,2]]}"#).contains("has the key [1] twice"))
    #expect(tables(#"{"entries":[[{"bits":"7ff8000000000000"},2]]}"#).contains("for a key"))
    #expect(tables(#"{"list":[null]}"#).contains("has nothing under the key"))
    #expect(tables(#"{"code":[1]}"#).contains("unknown member"))
    #expect(tables("", #"{"call":"os.exit"}"#).contains("unknown value, \"call\""))
    #expect(tables("", #"{"bytes":"0"}"#).contains("hexadecimal"))
    #expect(reading("{").contains("moongrad.checkpoint, line 1"))
    #expect(
      reading(#"{"version":2,"value":1,"tables":[],"tensors":[]}"#) == "is a checkpoint of version 2, and version 1 is what is read here")
    // Each table refers to the one before twice: 2^150 ways through, and one visit.
    let doubled = (0..<150).map { $0 == 0 ? "{}" : "{\"list\":[{\"table\":\($0 - 1)},{\"table\":\($0 - 1)}]}" }.joined(separator: ",")
    #expect(tables(doubled, #"{"table":149}"#) == "")
    let deep = (0..<201).map { $0 == 0 ? "{}" : "{\"list\":[{\"table\":\($0 - 1)}]}" }.joined(separator: ",")
    #expect(tables(deep, #"{"table":200}"#).contains("nests tables more than 200 deep"))
    #expect(problem { _ = try Checkpoint.load(checkpointFixtures + "plain.pt") }.hasPrefix("is a zip archive"))
    #expect(problem { _ = try Checkpoint.load(checkpointFixtures + "reference.safetensors") }.hasPrefix("holds tensors, but not"))
  }

  // MARK: PyTorch

  @Test func pyTorchsValues() throws {
    let plain = try TorchFile.load(checkpointFixtures + "plain.pt")
    #expect(plain["list"].list?.map(\.found) == ["1"] && plain["list"].table?[.integer(3)].text == "three")
    #expect(plain["tuple"].list?[1].list?.map(\.found) == ["2", "3"])
    #expect(plain["size"].list?.map(\.found) == ["2", "3"])
    #expect(plain["dtype"].text == "float16" && plain["device"].text == "cpu" && plain["text"].text == "é")
    #expect(plain["counter"].table?[.integer(1)].integer == 2 && plain["ordered"]["b"].integer == 2)
    #expect(plain["large"].integer == 1 << 62 && plain["negative"].integer == -5 && plain["long"].integer == -(1 << 40))
    #expect(plain["bytes"].found == "a string of 2 bytes" && plain["none"].found == "nil")
    #expect(
      plain.table?[.integer(3)].text == "three" && plain.table?[.number(2.5)].text == "float" && plain.table?[.boolean(true)].text == "flag"
    )
    #expect(plain["shared"].table === plain["shared again"].table)
    for (key, value) in plain["all"].table?.entries ?? [] {
      guard case .text(let name) = key, let tensor = value.tensor else { continue }
      #expect(tensor.dtype.description == name && tensor.doubles == (name == "bool" ? [0, 1, 1] : [0, 1, 2]))
    }
    #expect(plain["all"].table?.entries.count == DType.allCases.count)
    #expect(plain["turned"].tensor?.doubles == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11])
    #expect(plain["column"].tensor?.doubles == [2, 6, 10] && plain["expanded"].tensor?.doubles == [1, 1, 1])
    #expect(plain["scalar"].tensor?.shape == [] && plain["empty"].tensor?.shape == [0, 2])
    #expect(plain["frozen"].tensor === plain["again"].tensor && plain["frozen"].tensor?.isParameter == true)
    #expect(plain["frozen"].tensor?.requiresGrad == false && plain["parameter"].tensor?.requiresGrad == true)
    #expect(plain["leaf"].tensor?.requiresGrad == true && plain["leaf"].tensor?.isParameter == false)
    _ = try plain["base"].tensor?.fill(Scalar.integer(7))
    #expect(plain["row"].tensor?.doubles == [7, 7, 7, 7])
  }

  @Test func pyTorchsPrograms() {
    func refusal(_ name: String) -> String { problem { _ = try TorchFile.load(checkpointFixtures + name) } }
    #expect(refusal("legacy.pt").hasPrefix("is of the format before PyTorch 1.6"))
    #expect(refusal("module.pt").contains("torch.nn.modules.linear.Linear makes what is no tensor"))
    #expect(refusal("complex.pt").contains("elements of torch.ComplexFloatStorage"))
    #expect(refusal("big.pt").contains("a whole number of 9 bytes"))
    #expect(refusal("evil.pt").contains("posix.system makes what is no tensor and no plain container; nothing was executed"))
    #expect(refusal("big-endian.pt").hasPrefix("byteorder: elements are stored in the order \"big\""))
    #expect(refusal("reference.safetensors") == "byte 0: is no zip archive, which is what torch.save writes")
  }

  /// What is said of a pickle alone.
  private func reading(pickle: [UInt8]) -> String {
    var text = ""
    try? withFolder { folder in
      let writer = try ZipWriter(folder + "/a.pt", isSynced: false)
      try pickle.withUnsafeBytes { try writer.add("a/data.pkl", [$0]) }
      try writer.finish()
      text = problem { _ = try TorchFile.load(folder + "/a.pt") }
    }
    return text
  }

  @Test func picklesThatLie() {
    func pickle(_ text: String) -> [UInt8] { Array(text.utf8) }
    #expect(reading(pickle: pickle("N.")) == "")
    #expect(reading(pickle: pickle("}.")) == "")
    #expect(reading(pickle: []).hasPrefix("data.pkl, byte 0: 1 bytes are announced here, and 0 are left"))
    #expect(reading(pickle: pickle(".")) == "data.pkl ends with 0 values, not one")
    #expect(reading(pickle: pickle("NN.")) == "data.pkl ends with 2 values, not one")
    #expect(reading(pickle: pickle("0.")) == "data.pkl, byte 0: a value is taken from an empty stack")
    #expect(reading(pickle: pickle("(0.")) == "data.pkl, byte 1: a mark stands where a value was expected")
    #expect(reading(pickle: pickle("t.")) == "data.pkl, byte 0: there is no mark")
    #expect(reading(pickle: pickle("NNa.")).contains("values are added to what is no list"))
    #expect(reading(pickle: pickle("NNNs.")).contains("no dictionary"))
    #expect(reading(pickle: pickle("h5.")).contains("value 53 is recalled, which was not kept"))
    #expect(reading(pickle: pickle("I5\n.")).contains("the instruction 73 (INT) is not one of those"))
    #expect(reading(pickle: [0x58, 0xff, 0xff, 0xff, 0xff, 0x2e]).contains("4294967295 bytes are announced, and 1 are left"))
    #expect(reading(pickle: [0x8e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).contains("18446744073709551615 bytes are announced"))
    #expect(reading(pickle: [0x80, 9]).contains("version 9 of pickles is not known"))
    #expect(reading(pickle: pickle("cbuiltins\neval\n)R.")).contains("builtins.eval makes what is no tensor"))
    #expect(
      reading(pickle: pickle("cbuiltins\neval\n.")) == "data.pkl: the value is builtins.eval, a class or function, which is not looked for")
    #expect(reading(pickle: pickle("]q0h0a.")) == "data.pkl: [1] holds itself")
    #expect(reading(pickle: pickle("}N}s.")).contains("has a key that is no number, string or flag"))
    // Nested 100,000 deep, in a list and through what is recalled.
    #expect(
      reading(pickle: Array(repeating: 0x5d, count: 100_000) + Array(repeating: 0x61, count: 99_999) + [0x2e]).contains(
        "nested more than 200 deep"))
    // Each list has the one before twice: 2^150 ways through.
    var doubled: [UInt8] = [0x5d, 0x94]
    for place in 0..<UInt8(150) { doubled += [0x5d, 0x68, place, 0x61, 0x68, place, 0x61, 0x94] }
    #expect(reading(pickle: doubled + [0x2e]) == "data.pkl ends with 151 values, not one")
    doubled = [0x5d, 0x94]
    for place in 0..<UInt8(150) { doubled += [0x30, 0x5d, 0x68, place, 0x61, 0x68, place, 0x61, 0x94] }
    #expect(reading(pickle: doubled + [0x2e]) == "")
    // A text that is made bytes of a thousand times.
    let text = String(repeating: "x", count: 200)
    let calls =
      pickle("c_codecs\nencode\nq\u{1}X") + [200, 0, 0, 0] + pickle(text) + pickle("q\u{2}X") + [6, 0, 0, 0] + pickle("latin1q\u{3}]")
    let call: [UInt8] = [0x68, 1, 0x68, 2, 0x68, 3, 0x86, 0x52, 0x61]
    #expect(reading(pickle: calls + (0..<1000).flatMap { _ in call } + [0x2e]).contains("bytes of the same text again and again"))
  }
}
