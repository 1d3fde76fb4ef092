// Which parameters of a module are meant: by patterns of their names, as modules, as tensors, or by a function.

import Tensors

/// Some of a module's parameters.
public enum ParameterSelection: ExpressibleByStringLiteral, ExpressibleByArrayLiteral {
  /// All of them.
  case all
  /// Names with `*` for any text, dots too, and `?` for one character; the name of a module within stands for all that is in it.
  case patterns([String])
  /// Those of modules within it.
  case modules([Module])
  /// Those that are these tensors.
  case tensors([Tensor])
  /// Those that the function is true of.
  case matching((_ name: String, _ parameter: Tensor) throws -> Bool)

  /// One pattern: `"0.*"`.
  public init(stringLiteral pattern: String) { self = .patterns([pattern]) }
  /// Several patterns: `["0.*", "head"]`.
  public init(arrayLiteral patterns: String...) { self = .patterns(patterns) }
}

/// A name with `*` for any text and `?` for one character.
public struct NamePattern: Sendable {
  /// As it was given.
  public let text: String
  private let pattern: [Character]

  /// A pattern; text without `*` and `?` is a name.
  public init(_ text: String) {
    self.text = text
    pattern = Array(text)
  }

  /// Whether the whole name is as the pattern says.
  public func matches(_ name: String) -> Bool {
    let name = Array(name)
    // The last `*`, and where what it stands for ends so far: a later mismatch lets it take one more character.
    var (p, n) = (0, 0)
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p] == "?" || pattern[p] == name[n] {
        p += 1
        n += 1
      } else if let last = star {
        star = (last.pattern, last.name + 1)
        p = last.pattern + 1
        n = last.name + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }
}

/// A parameter under one of its names.
struct NamedParameter {
  let name: String
  let tensor: Tensor
}

extension Module {
  /// Every parameter under every name that it has: one that is shared comes once for each.
  func parametersByAllNames() -> [NamedParameter] {
    namedParameters(removesDuplicates: false).map { NamedParameter(name: $0.name, tensor: $0.tensor) }
  }

  /// The parameters that are meant, each once, under the name by which it was meant.
  ///
  /// Throws where a pattern, a module or a tensor is none of this module's: a misspelt one must not select nothing without a word. Where
  /// `modulesDo`, a pattern or module may mean a module without parameters, too.
  func selected(_ selection: ParameterSelection, _ operation: String, modulesDo: Bool = false) throws -> [NamedParameter] {
    let all = parametersByAllNames()
    var chosen: [NamedParameter] = []
    var seen = Set<ObjectIdentifier>()
    func choose(_ some: [NamedParameter]) { chosen += some.filter { seen.insert(ObjectIdentifier($0.tensor)).inserted } }
    switch selection {
    case .all:
      guard !nestsTooDeep else {
        throw TensorError(.argument, operation, "modules are nested more than \(Module.deepest) deep")
      }
      guard !all.isEmpty else { throw TensorError(.argument, operation, "\(kind) has no parameters") }
      choose(all)
    case .patterns(let patterns):
      for text in patterns {
        let found = all.filter { NamePattern.names($0.name, by: text) }
        let isModule = modulesDo && namedModules().contains { NamePattern.names($0.name, by: text) }
        guard !found.isEmpty || isModule else { throw unmatched(text, all.map(\.name), operation) }
        choose(found)
      }
    case .modules(let modules):
      for module in modules {
        guard let path = namedModules(removesDuplicates: false).first(where: { $0.module.identity == module.identity })?.name else {
          throw TensorError(.argument, operation, "the \(module.kind) is not in the \(kind)")
        }
        let found = path.isEmpty ? all : all.filter { $0.name.hasPrefix(path + ".") }
        guard !found.isEmpty || modulesDo else {
          throw TensorError(.argument, operation, "\(path.isEmpty ? kind : path) has no parameters")
        }
        choose(found)
      }
    case .tensors(let tensors):
      for tensor in tensors {
        guard let found = all.first(where: { $0.tensor === tensor }) else {
          throw TensorError(.argument, operation, "a tensor of shape \(tensor.shape) is no parameter of the \(kind)")
        }
        choose([found])
      }
    case .matching(let matches):
      choose(try all.filter { try matches($0.name, $0.tensor) })
      guard !chosen.isEmpty else { throw TensorError(.argument, operation, "the function chose none of the \(all.count) parameters") }
    }
    return chosen
  }

  private func unmatched(_ pattern: String, _ names: [String], _ operation: String) -> TensorError {
    let modules = namedModules().filter { !$0.name.isEmpty }
    var text = "no parameter matches '\(pattern)'"
    if let bare = modules.first(where: { NamePattern(pattern).matches($0.name) }) {
      text += ": \(bare.name) is a \(bare.module.kind), which has none"
    } else {
      let end = pattern.hasSuffix(".*") ? ".*" : ""
      let hint = nearest(String(pattern.dropLast(end.count)), names + modules.map(\.name))
      if let hint { text += "; did you mean '\(hint)\(names.contains(hint) ? "" : end)'?" }
    }
    if !names.isEmpty {
      text += " (there is \(names.prefix(12).joined(separator: ", "))\(names.count > 12 ? ", … \(names.count) in all" : ""))"
    }
    return TensorError(.argument, operation, TensorError.Facts(text))
  }
}

extension NamePattern {
  /// Whether a pattern means a parameter, by its name or by that of a module that it is in.
  static func names(_ parameter: String, by pattern: String) -> Bool {
    NamePattern(pattern).matches(parameter) || !pattern.isEmpty && NamePattern(pattern + ".*").matches(parameter)
  }
}
