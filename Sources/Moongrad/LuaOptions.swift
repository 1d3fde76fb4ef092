// Named options: the table at the end of a call, `train(x, { rate = 0.1 })`.

import LuaRuntime
import Tensors

/// The named options of a function, which declares their names.
///
/// ```swift
/// session.function("train", options: ["rate", "steps"]) { (x: Tensor, options: LuaOptions) in
///   let rate = try options["rate", default: 0.1]
///   let steps: Int? = try options["steps"]
///   …
/// }
/// try session.run("train(x, { rate = 0.01 })")
/// ```
///
/// The table may be left out. A name that was not declared is an error, which names the nearest one and lists them all. An option of
/// another type is an error where it is read.
public struct LuaOptions {
  private let function: String
  private let known: [String]
  private let values: [String: LuaValue]
  private weak var session: Session?

  /// An option, or its default where it was not given.
  public subscript<T: LuaConvertible>(name: String, default value: @autoclosure () -> T) -> T {
    get throws { try self[name] ?? value() }
  }

  /// An option; nil where it was not given.
  public subscript<T: LuaConvertible>(name: String) -> T? {
    get throws {
      precondition(known.contains(name), "the options of \(function) declare no '\(name)'")
      guard let value = values[name] else { return nil }
      guard let session else { throw LuaError(.unavailable, "the session of these options is closed") }
      return try session.decode(value, root: "\(function): option '\(name)'")
    }
  }

  /// The names that were given.
  public var names: Set<String> { Set(values.keys) }

  /// Reads the table.
  init(_ slot: Slot, of function: String, known: [String], _ session: Session) throws {
    (self.function, self.known, self.session) = (function, known, session)
    var values: [String: LuaValue] = [:]
    if !slot.isNil {
      guard slot.type == .table else { throw ConversionFailure(expected: "table of options", found: LuaSource(slot, session).found) }
      try slot.forEachPair { key, value in
        let name = key.string ?? LuaSource(key, session).found
        guard key.type == .string, known.contains(name) else {
          let hint = nearest(name, known).map { "; did you mean '\($0)'?" } ?? ""
          throw LuaError(.conversion, "\(function): unknown option '\(name)'\(hint) (known: \(known.joined(separator: ", ")))")
        }
        values[name] = try value.value()
      }
    }
    self.values = values
  }
}

extension LuaOptions: LuaConvertible {
  /// `options`.
  public static var luaName: String { "options" }

  /// Fails: options are read where their names are known, as an argument.
  public static func decode(_ source: LuaSource) throws -> LuaOptions { throw source.mismatch("an argument with options") }

  /// A new table.
  public var luaValue: LuaValue { .record(values) }
}
