// What a conversion throws: which value, what was expected, what came.

import LuaRuntime

/// A value that is not what was expected, on its way out of nested conversions: each adds its step to the path.
struct ConversionFailure: Error {
  enum Step {
    case index(Int)
    case field(String)
  }

  /// A sentence without the place: `expected integer, got string`.
  let reason: String
  /// What was expected, in a word, where that is the reason.
  let expected: String?
  let found: String?
  /// Innermost first.
  var path: [Step] = []

  init(expected: String, found: String) {
    reason = "expected \(expected), got \(found)"
    (self.expected, self.found) = (expected, found)
  }

  init(reason: String, path: [Step] = []) {
    self.reason = reason
    self.path = path
    (expected, found) = (nil, nil)
  }

  static func at<Result>(_ step: Step, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch var failure as ConversionFailure {
      failure.path.append(step)
      throw failure
    }
  }

  /// The same with another word for what was expected.
  func expecting(_ word: (String) -> String) -> ConversionFailure {
    guard let expected, let found else { return self }
    return ConversionFailure(expected: word(expected), found: found)
  }

  /// `.layers[3]`; of a long one both ends.
  var pathText: String {
    let steps = path.reversed().map { step in
      switch step {
      case .index(let position): "[\(position)]"
      case .field(let name): name.isIdentifier ? ".\(name)" : "[\"\(name)\"]"
      }
    }
    return steps.count <= 12 ? steps.joined() : steps.prefix(6).joined() + " … " + steps.suffix(3).joined()
  }

  /// `config.layers[3]: expected integer, got string`
  func error(root: String) -> LuaError { LuaError(.conversion, "\(root)\(pathText): \(reason)") }
}

/// As it reads where nothing gives it a root.
extension ConversionFailure: LuaErrorConvertible, CustomStringConvertible {
  var description: String { luaMessage }
  var luaMessage: String {
    if path.isEmpty { return reason }
    return (pathText.hasPrefix(".") ? String(pathText.dropFirst()) : pathText) + ": " + reason
  }
  var luaKind: LuaError.Kind { .conversion }
}

extension Session {
  /// How deep conversions may be nested: tables that contain themselves end there, long before the thread's stack does.
  static let deepestConversion = 150

  /// Runs a conversion inside of another.
  func deeper<Result>(_ body: () throws -> Result) throws -> Result {
    guard conversionDepth < Session.deepestConversion else {
      throw ConversionFailure(reason: "tables are nested more than \(Session.deepestConversion) deep, or contain themselves")
    }
    conversionDepth += 1
    defer { conversionDepth -= 1 }
    return try body()
  }
}
