// What hosts expect of Foundation: what an error says, and its small values, which cross as what scripts have for them.
//
// A module beside Moongrad, since a host that imports it has Foundation anyway, while the command starts faster and links Swift's
// library in without it. FoundationEssentials alone: the whole Foundation brings ICU, which is four times as large.

import Files
import FoundationEssentials
import LuaRuntime
import Moongrad
import Tensors

// MARK: Errors

extension LuaError: LocalizedError {
  /// What ``description`` says, so that `localizedDescription` says it.
  public var errorDescription: String? { description }
}

extension TensorError: LocalizedError {
  /// What `description` says: dimensions and indices count from 0.
  public var errorDescription: String? { description }
}

extension FileError: LocalizedError {
  /// What `description` says.
  public var errorDescription: String? { description }
}

// MARK: Values

/// A string of its bytes, which need not be text.
extension Data: LuaConvertible {
  /// `string`.
  public static var luaName: String { "string" }

  /// The bytes of a string; nothing else will do for them.
  public static func decode(_ source: LuaSource) throws -> Data {
    guard source.slot.type == .string, let data = source.slot.withBytes({ Data($0) }) else { throw source.mismatch("string") }
    return data
  }

  /// A string.
  public var luaValue: LuaValue { .bytes(Array(self)) }
}

/// Seconds since the beginning of 1970, as `os.time()` counts them.
extension Date: LuaConvertible {
  /// `time in seconds`.
  public static var luaName: String { "time in seconds" }

  /// Whole seconds or fractions of them. Throws for what is no finite number.
  public static func decode(_ source: LuaSource) throws -> Date {
    guard let seconds = source.slot.number, seconds.isFinite else { throw source.mismatch(luaName) }
    return Date(timeIntervalSince1970: seconds)
  }

  /// A float. Fractions of a second beyond a microsecond are rounded.
  public var luaValue: LuaValue { .number(timeIntervalSince1970) }
}

/// Its text, from the scheme on.
extension URL: LuaConvertible {
  /// `URL`.
  public static var luaName: String { "URL" }

  /// Throws for strings that are none.
  public static func decode(_ source: LuaSource) throws -> URL {
    let text: String = try source.slot.type == .string ? String.decode(source) : { throw source.mismatch(luaName) }()
    guard let url = URL(string: text) else { throw source.mismatch(luaName, found: "a string that is none") }
    return url
  }

  /// A string. A relative address is joined with its base.
  public var luaValue: LuaValue { .string(absoluteString) }
}
