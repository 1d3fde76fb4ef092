// The documentation inside the runtime, written from what operations, modules and optimizers declare about themselves.

import LuaRuntime
import Tensors
import Training

/// Reference texts by name.
public enum Help {
  /// Everything that has a text, sorted: names of `mg` without it, as `sum` and `nn.Linear`; and those of what scripts hold, as
  /// `Tensor.item`, `Module.parameters`, `Optimizer.step`, `Scheduler.step`, `Node.name`, `Hook.remove`.
  public static var names: [String] { entries.keys.sorted() }

  /// The text for `sum`, `mg.sum`, `x:sum`, `nn.Linear`, `optim.SGD`, `autograd.gradcheck`, `opt:step`; nil when nothing has that
  /// name.
  ///
  /// A name without its table means the tensors' method, or else everything that ends in it: `vjp` is one function of `func` and
  /// one of `functional`.
  public static func text(for name: String) -> String? {
    var parts = name.split { $0 == "." || $0 == ":" }.map(String.init)
    guard let first = parts.first else { return nil }
    if parts.count > 1, let place = places[first] { parts.replaceSubrange(0..<1, with: place) }
    if parts.count > 2, parts[0] == "nn", parts[1] == "Module" { parts.removeFirst() }
    let path = parts.joined(separator: ".")
    if let text = entries[path] { return text() }
    if let text = entries["Tensor." + path] { return text() }
    let all = entries.filter { $0.key.hasSuffix("." + path) }.sorted { $0.key < $1.key }.map { $0.value() }
    var texts: [String] = []
    for text in all where !texts.contains(text) { texts.append(text) }
    return texts.isEmpty ? nil : texts.joined(separator: "\n\n")
  }

  /// What scripts call things, and where the names of these are.
  private static let places: [String: [String]] = {
    let words: [([String], [String])] = [
      (["mg", "moongrad"], []), (["F"], ["nn", "functional"]), (["x", "t", "tensor", "Tensor"], ["Tensor"]),
      (["net", "m", "module", "model", "layer", "Module"], ["Module"]), (["opt", "optimizer", "Optimizer"], ["Optimizer"]),
      (["scheduler", "sched", "Scheduler"], ["Scheduler"]), (["node", "grad_fn", "Node"], ["Node"]), (["hook", "Hook"], ["Hook"]),
      (["generator", "g", "Generator"], ["Generator"]), (["loader", "DataLoader"], ["DataLoader"]),
    ]
    return Dictionary(uniqueKeysWithValues: words.flatMap { words, place in words.map { ($0, place) } })
  }()

  /// The texts, each to be written when it is asked for.
  private static let entries: [String: @Sendable () -> String] = {
    var entries: [String: @Sendable () -> String] = [:]
    for operation in Catalogue.operations + Construction.list { add(operation, to: &entries) }
    for (name, plain) in Special.names { if let text = entries[plain] { entries["special." + name] = text } }
    for (place, list) in [("nn.init", Initializer.operations), ("nn.utils", GradientUtilities.operations)] {
      for operation in list {
        let name = "mg.\(place).\(operation.name)"
        entries["\(place).\(operation.name)"] = {
          """
          \(name)(\(signature(operation.parameters)))

          \(operation.summary)\(details(operation.parameters))\(example(HelpExamples.text(operation, name)))
          """
        }
      }
    }
    for kind in ModuleCatalogue.kinds {
      entries["nn." + kind.name] = {
        """
        nn.\(kind.name)(\(signature(kind.parameters)))

        \(kind.summary)\(details(kind.parameters))\(example(HelpExamples.text(kind)))
        """
      }
    }
    for kind in OptimizerCatalogue.kinds { entries["optim." + kind.name] = { text(kind) } }
    for kind in SchedulerCatalogue.kinds { entries["optim.lr_scheduler." + kind.name] = { text(kind) } }
    for kind in MetricCatalogue.kinds {
      entries["metrics." + kind.name] = {
        """
        mg.metrics.\(kind.name)(\(signature(kind.parameters)))

        \(kind.summary)\(details(kind.parameters))

        update(\(signature(kind.inputs))) adds a batch; called like a function, the metric adds it and gives the value of the batch alone.
        compute() gives the value of all batches, reset() forgets them; state_dict() and load_state_dict(state) save and restore.

        Example:
          local m = mg.metrics.\(kind.name)\(kind.example.options.isEmpty ? "()" : " " + kind.example.options)
          for batch = 1, 2 do m:update(\(kind.example.update)) end
          print(m:compute())
        """
      }
    }
    for (name, text) in HelpTexts.all { entries[name] = { text } }
    entries["optim.swa_utils.SWALR"] = entries["optim.lr_scheduler.SWALR"]
    return entries
  }()

  /// A source as it was embedded.
  static func text(of resource: [UInt8]) -> String { String(decoding: resource, as: UTF8.self) }

  // MARK: Operations

  /// An operation under each of its names, with an example of that form.
  private static func add(_ operation: TensorOperation, to entries: inout [String: @Sendable () -> String]) {
    func add(_ name: String, _ function: String, isMethod: Bool = false, inPlace: Bool = false) {
      entries[name] = {
        text(operation) + example(HelpExamples.text(operation, function, isMethod: isMethod, inPlace: inPlace))
      }
    }
    let (tabled, plain) = operation.namesByPlace
    for name in tabled where operation.forms.contains(.function) {
      let path = name.hasPrefix("functional.") ? "nn." + name : name
      add(path, "mg." + path)
    }
    for name in plain {
      if !operation.forms.isDisjoint(with: [.inPlace, .inPlaceView]) { add("Tensor.\(name)_", name + "_", inPlace: true) }
      if operation.forms.contains(.method) { add("Tensor." + name, name, isMethod: true) }
      if operation.forms.contains(.functional) { add("nn.functional." + name, "mg.nn.functional." + name) }
      if operation.forms.contains(.function) { add(name, "mg." + name) }
    }
  }

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

  private static func example(_ code: String?) -> String {
    guard let code else { return "" }
    return "\n\nExample:\n" + code.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
  }

  // MARK: Optimizers and schedulers

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
      return "  \(parameter.name): \(expectation(parameter))\(fallback)\(parameter.isNamedOnly ? ", by name only" : "")"
    }
    return "\n\nArguments:\n" + lines.joined(separator: "\n")
  }

  /// What a parameter takes: its names, where it takes one of them.
  private static func expectation(_ parameter: Parameter) -> String {
    let choices = parameter.choices.map { "\"\($0)\"" }
    guard let last = choices.last else { return Decoder.expectation(parameter) }
    return choices.count == 1 ? last : choices.dropLast().joined(separator: ", ") + " or " + last
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
