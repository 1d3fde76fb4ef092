// What may follow what was typed.

import Bindings
import LuaRuntime
import Moongrad

/// Words that may replace the last word of a line.
struct Completion: Equatable {
  var words: [String] = []
  /// Whether the line ends inside a string, where file names are completed.
  var isFileName = false
}

/// Completes names, fields and methods, without running a script's code: every step of `a.b.c` is a raw access.
struct Completer {
  let environment: TableReference
  let globals: TableReference
  /// `nn.Module`, whose methods every module of a script has.
  let modules: TableReference?

  /// The possible ends of a line, whose last word libedit takes to begin after the last of its break characters.
  func complete(_ line: String) -> Completion {
    if line.hasPrefix(":"), !line.contains(" ") {
      return Completion(words: Command.names.map { ":" + $0 }.filter { $0.hasPrefix(line) })
    }
    let bytes = Array(line.utf8)
    if let last = Token.all(in: bytes).last, last.kind == .string, last.range.upperBound == bytes.count,
      last.range.count == 1 || bytes[bytes.count - 1] != bytes[last.range.lowerBound]
    {
      return Completion(isFileName: true)
    }
    var start = bytes.count
    while start > 0, bytes[start - 1].isWordByte || bytes[start - 1] == UInt8(ascii: ".") || bytes[start - 1] == UInt8(ascii: ":") {
      start -= 1
    }
    let chain = String(decoding: bytes[start...], as: UTF8.self)
    guard let split = chain.lastIndex(where: { $0 == "." || $0 == ":" }) else {
      return Completion(words: names(chain))
    }
    let head = chain[...split]
    let partial = chain[chain.index(after: split)...]
    let steps = head.dropLast().split(omittingEmptySubsequences: false) { $0 == "." || $0 == ":" }.map(String.init)
    guard !steps.isEmpty, !steps.contains("") else { return Completion() }
    let members = (try? self.members(of: steps, methodsOnly: chain[split] == ":")) ?? []
    return Completion(words: members.filter { $0.hasPrefix(partial) && ValuePrinter.isName($0) }.sorted().map { head + $0 })
  }

  private func names(_ partial: String) -> [String] {
    guard !partial.isEmpty else { return [] }
    var names = LuaKeywords.all
    for table in [environment, globals] {
      try? table.read { try $0.forEachPair { key, _ in if let name = key.string { names.insert(name) } } }
    }
    return names.filter { $0.hasPrefix(partial) && ($0 != "_" && $0 != "__") }.sorted()
  }

  private func members(of steps: [String], methodsOnly: Bool) throws -> Set<String> {
    for root in [environment, globals] {
      let found: Set<String>? = try root.read { try follow($0, steps[...], methodsOnly) }
      if let found { return found }
    }
    return []
  }

  private func follow(_ slot: Slot, _ steps: ArraySlice<String>, _ methodsOnly: Bool) throws -> Set<String>? {
    guard let step = steps.first else { return try members(of: slot, methodsOnly) }
    guard slot.type == .table else { return nil }
    return try slot.withField(step) { $0.isNil ? nil : try follow($0, steps.dropFirst(), methodsOnly) }
  }

  private func members(of slot: Slot, _ methodsOnly: Bool) throws -> Set<String> {
    var names = Set<String>()
    func addKeys(_ table: Slot) throws {
      try table.forEachPair { key, value in
        if let name = key.string, !methodsOnly || value.type == .function { names.insert(name) }
      }
    }
    switch slot.type {
    case .table:
      try addKeys(slot)
      let isModule = slot.metatableName != nil
      _ = try slot.withMetatable { try $0.withField("__index") { if $0.type == .table { try addKeys($0) } } }
      if isModule, let modules { try modules.read { try addKeys($0) } }
    case .userdata:
      let members = slot.memberNames
      names.formUnion(members.methods)
      if !methodsOnly { names.formUnion(members.properties) }
      if let module = slot.object(moduleKind), !methodsOnly {
        names.formUnion((module.parameters + module.buffers).map(\.name))
        names.formUnion(ModuleCatalogue.kind(of: module)?.fields.map(\.name) ?? [])
      }
    case .string:
      try globals.read { try $0.withField("string") { if $0.type == .table { try addKeys($0) } } }
    default: break
    }
    return names
  }
}
