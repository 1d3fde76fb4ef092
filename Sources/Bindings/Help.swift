// The documentation inside the runtime, written from what operations, modules and optimizers declare about themselves.

import LuaRuntime
import Tensors
import Training

/// Reference texts by name.
public enum Help {
  /// Everything that has a text, sorted.
  public static var names: [String] {
    let operations = (Catalogue.operations + Construction.list).flatMap { [$0.name] + $0.aliases }
    let kinds =
      ModuleCatalogue.kinds.map { "nn." + $0.name } + OptimizerCatalogue.kinds.map { "optim." + $0.name }
      + Initializer.operations.map { "nn.init." + $0.name } + GradientUtilities.operations.map { "nn.utils." + $0.name }
      + SchedulerCatalogue.kinds.map { "optim.lr_scheduler." + $0.name }
    return Set(operations + kinds + scripted.map(\.name)).sorted()
  }

  /// The text for `sum`, `mg.sum`, `x:sum`, `nn.Linear`, `optim.SGD`, `autograd.gradcheck`; nil when nothing has that name.
  ///
  /// A name without its table means everything that ends in it: `vjp` is one function of `func` and one of `functional`.
  public static func text(for name: String) -> String? {
    let parts = name.split { $0 == "." || $0 == ":" }.map(String.init)
    let bare = parts.last ?? name
    let path = (parts.first == "mg" ? Array(parts.dropFirst()) : parts).joined(separator: ".")
    if let entry = scripted.first(where: { $0.name == path }) { return entry.text }
    if let operation = (Catalogue.operations + Construction.list).first(where: {
      !Set([$0.name] + $0.aliases).isDisjoint(with: [path, bare])
    }) {
      return text(operation)
    }
    for (place, list) in [("nn.init", Initializer.operations), ("nn.utils", GradientUtilities.operations)] {
      guard let operation = list.first(where: { $0.name == bare }), path == bare || path == "\(place).\(bare)" else { continue }
      return "mg.\(place).\(operation.name)(\(signature(operation.parameters)))\n\n\(operation.summary)\(details(operation.parameters))"
    }
    if let kind = ModuleCatalogue.kind(named: bare) {
      return """
        nn.\(kind.name)(\(signature(kind.parameters)))

        \(kind.summary)\(details(kind.parameters))
        """
    }
    if let kind = OptimizerCatalogue.kinds.first(where: { $0.name == bare }) {
      return text(kind)
    }
    if let kind = SchedulerCatalogue.kind(named: bare) { return text(kind) }
    let texts = scripted.filter { $0.name.hasSuffix("." + path) }.map(\.text)
    return texts.isEmpty ? nil : texts.joined(separator: "\n\n")
  }

  /// What functions written in Lua say about themselves, in their sources: each comment from
  /// `--[=[ mg.name(`, or `--[=[ x:name(` for a method, to a line `]=]`.
  private static let scripted: [(name: String, text: String)] = {
    var entries: [(name: String, text: String)] = []
    let resources = [
      PackageResources.autograd_lua, PackageResources.prelude_lua, PackageResources.functional_lua, PackageResources.gradcheck_lua,
      PackageResources.func_lua, PackageResources.forward_lua, PackageResources.vmap_lua, PackageResources.jacobians_lua,
      PackageResources.utils_lua, PackageResources.parametrize_lua, PackageResources.swa_lua, PackageResources.modules_lua,
      PackageResources.containers_lua, PackageResources.copies_lua,
    ]
    for resource in resources {
      let source = Help.text(of: resource)
      for prefix in ["mg.", "x:"] {
        for comment in source.pieces(from: "\n--[=[ " + prefix, to: "\n]=]\n") {
          entries.append((name: String(comment.prefix { $0 != "(" }), text: prefix + comment))
        }
      }
    }
    return entries
  }()

  /// A source as it was embedded.
  static func text(of resource: [UInt8]) -> String { String(decoding: resource, as: UTF8.self) }

  private static func text(_ operation: TensorOperation) -> String {
    var forms: [String] = []
    let plain = operation.namesByPlace.plain.first
    if operation.forms.contains(.function) {
      forms.append("\(operation.name.hasPrefix("functional.") ? "mg.nn." : "mg.")\(operation.name)(\(signature(operation.parameters)))")
    }
    if operation.forms.contains(.functional) { forms.append("F.\(operation.name)(\(signature(operation.parameters)))") }
    let rest = signature(Array(operation.parameters.dropFirst()))
    if let plain, operation.forms.contains(.method) { forms.append("x:\(plain)(\(rest))") }
    if let plain, !operation.forms.isDisjoint(with: [.inPlace, .inPlaceView]) { forms.append("x:\(plain)_(\(rest))  -- in place") }
    let aliases = operation.aliases.isEmpty ? "" : "\nAlso called \(operation.aliases.joined(separator: ", "))."
    return forms.joined(separator: "\n") + "\n\n\(operation.summary)\(aliases)\(details(operation.parameters))"
  }

  private static func text(_ kind: OptimizerKind) -> String {
    let options = kind.options.map { "  \($0.name) = \(shown($0.1)): \($0.2)" }.joined(separator: "\n")
    let steps =
      kind.wantsClosure
      ? "opt:step(function() opt:zero_grad() local loss = net(x):pow(2):mean() loss:backward() return loss end)"
      : "opt:zero_grad() net(x):pow(2):mean():backward() opt:step()"
    return """
      optim.\(kind.name)(params, { \(kind.options.prefix(1).map { "\($0.name) = \(shown($0.1))" }.joined()), … })

      \(kind.summary)

      Arguments:
        params: a list of parameters, or of groups { params = …, lr = … } with options of their own

      Options:
      \(options)

      Example:
        local nn, optim = mg.nn, mg.optim
        local net, x = nn.Linear(3, 2, { bias = false }), mg.ones(4, 3)
        local opt = optim.\(kind.name)(net:parameters(), { lr = 0.1 })
        \(steps)
      """
  }

  private static func text(_ kind: SchedulerKind) -> String {
    let options = kind.parameters.map { parameter in
      "  \(parameter.name)\(parameter.defaultText.isEmpty ? "" : " = \(parameter.defaultText)"): \(parameter.text); \(parameter.expectation)"
    }.joined(separator: "\n")
    return """
      optim.lr_scheduler.\(Schedulers.signature(kind))

      \(kind.summary)

      Options, by position or name:
      \(options)

      step(\(kind.takesMetric ? "metric" : "")) goes on by an epoch; get_last_lr() gives the rates; state_dict() and load_state_dict(state)
      save and restore.

      Example:
        local w = mg.ones(2, { requires_grad = true })
        local opt = mg.optim.SGD({ w }, { lr = 0.1, momentum = 0.9 })
        local scheduler = mg.optim.lr_scheduler.\(kind.name)(\(kind.example))
        for epoch = 1, 3 do
          opt:zero_grad() w:pow(2):sum():backward() opt:step()
          scheduler:step(\(kind.takesMetric ? "w:pow(2):sum()" : ""))
        end
        print(scheduler:get_last_lr()[1])
      """
  }

  private static func signature(_ parameters: [Parameter]) -> String {
    parameters.map { parameter in
      parameter.defaultText.isEmpty
        ? (parameter.isOptional ? "[\(parameter.name)]" : parameter.name) : "\(parameter.name) = \(parameter.defaultText)"
    }.joined(separator: ", ")
  }

  private static func details(_ parameters: [Parameter]) -> String {
    guard !parameters.isEmpty else { return "" }
    let lines = parameters.map { parameter in
      let fallback = parameter.defaultText.isEmpty ? (parameter.isOptional ? ", optional" : "") : ", default \(parameter.defaultText)"
      return "  \(parameter.name): \(Decoder.expectation(parameter))\(fallback)\(parameter.isNamedOnly ? ", by name only" : "")"
    }
    return "\n\nArguments:\n" + lines.joined(separator: "\n")
  }

  private static func shown(_ value: OptionValue) -> String {
    switch value {
    case .number(let number): number == number.rounded() && abs(number) < 1e15 ? String(Int(number)) : "\(number)"
    case .boolean(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .text(let text): "\"\(text)\""
    case .pair(let a, let b): "{ \(a), \(b) }"
    case .tuple(let values): "{ \(values.map(shown).joined(separator: ", ")) }"
    case .none: "nil"
    }
  }
}

extension String {
  /// What stands between each `opening` and the `closing` that follows it.
  fileprivate func pieces(from opening: String, to closing: String) -> [Substring] {
    var found: [Substring] = []
    var rest = self[...]
    while let start = rest.firstRange(of: opening), let end = rest[start.upperBound...].firstRange(of: closing) {
      found.append(rest[start.upperBound..<end.lowerBound])
      rest = rest[end.upperBound...]
    }
    return found
  }
}
