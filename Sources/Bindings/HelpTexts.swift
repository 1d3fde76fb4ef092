// Texts that stand in sources as they are shown: in comments of functions written in Lua, and in lists of short entries for what
// Swift gives to scripts beside operations and layers.

enum HelpTexts {
  /// By name, see ``Help/names``.
  static let all: [(name: String, text: String)] = commented + listed.texts

  /// Examples of operations that have no samples, or none that shows what they are for: entries of the lists without a text.
  static let examples: [String: String] = listed.examples

  /// What functions written in Lua say about themselves, in their sources: each comment from
  /// `--[=[ mg.name(`, or `--[=[ x:name(` for a method, to a line `]=]`.
  private static var commented: [(name: String, text: String)] {
    var entries: [(name: String, text: String)] = []
    let resources = [
      PackageResources.autograd_lua, PackageResources.prelude_lua, PackageResources.functional_lua, PackageResources.gradcheck_lua,
      PackageResources.func_lua, PackageResources.forward_lua, PackageResources.vmap_lua, PackageResources.jacobians_lua,
      PackageResources.utils_lua, PackageResources.parametrize_lua, PackageResources.swa_lua, PackageResources.modules_lua,
      PackageResources.containers_lua, PackageResources.copies_lua, PackageResources.loops_lua,
      PackageResources.freezing_lua, PackageResources.lora_lua, PackageResources.experiments_lua, PackageResources.freeze_search_lua,
      PackageResources.readers_lua,
      PackageResources.checkpoints_lua,
      PackageResources.data_lua, PackageResources.loader_lua,
    ]
    for resource in resources {
      let source = Help.text(of: resource)
      for prefix in ["mg.", "x:"] {
        for comment in source.pieces(from: "\n--[=[ " + prefix, to: "\n]=]\n") {
          // More signatures of the same may stand under the first, up to an empty line.
          for line in (prefix + comment).split(separator: "\n", omittingEmptySubsequences: false).prefix(while: { !$0.isEmpty })
          where line.hasPrefix(prefix) {
            entries.append((name: name(String(line)), text: prefix + comment))
          }
        }
      }
    }
    return entries
  }

  /// The entries of the lists: signatures, one a line, a text, and an example that is indented. What it begins with, such as
  /// a module called `net`, is added where it does not make one of its own.
  private static let listed: (texts: [(name: String, text: String)], examples: [String: String]) = {
    var entries: [(name: String, text: String)] = []
    var examples: [String: String] = [:]
    let resources = [
      PackageResources.tensors_help, PackageResources.modules_help, PackageResources.training_help, PackageResources.library_help,
    ]
    for entry in resources.flatMap({ Help.text(of: $0).split(separator: "\n\n") }) {
      let lines = entry.split(separator: "\n").map(String.init)
      let signatures = lines.prefix { $0.contains(/^([a-z]+[:.]\w+)[\w.]*(\(|$)/) }
      let texts = lines.dropFirst(signatures.count).prefix { !$0.hasPrefix("  ") }
      var example = lines.filter { $0.hasPrefix("  ") }
      if texts.isEmpty {
        for signature in signatures { examples[name(signature)] = example.map { String($0.dropFirst(2)) }.joined(separator: "\n") }
        continue
      }
      let place = signatures.first.map { String($0.prefix { $0 != "." && $0 != ":" }) } ?? ""
      if !example.contains(where: { $0.contains("local net =") }) { example = (beginnings[place] ?? []).map { "  " + $0 } + example }
      let text =
        "\(signatures.joined(separator: "\n"))\n\n\(texts.joined(separator: "\n"))\n\nExample:\n\(example.joined(separator: "\n"))"
      for signature in signatures where !entries.contains(where: { $0.name == name(signature) }) {
        entries.append((name: name(signature), text: text))
      }
    }
    return (entries, examples)
  }()

  private static let beginnings: [String: [String]] = {
    let net = ["local net = mg.nn.Linear(3, 2)"]
    let opt = net + ["local opt = mg.optim.SGD(net:parameters(), { lr = 0.1 })"]
    return [
      "net": net, "opt": opt, "scheduler": opt + ["local scheduler = mg.optim.lr_scheduler.StepLR(opt, { step_size = 1 })"],
      "node": ["local y = mg.ones(2, { requires_grad = true }) * 2"], "generator": ["local generator = mg.Generator()"],
      "loader": ["local loader = mg.data.DataLoader(mg.data.TensorDataset(mg.arange(6)), { batch_size = 4 })"],
    ]
  }()

  /// The name that a signature is of.
  private static func name(_ signature: String) -> String {
    let head = signature.prefix { $0.isLetter || $0.isNumber || "_.:".contains($0) }
    let places = [
      "mg.": "", "x:": "Tensor.", "x.": "Tensor.", "net:": "Module.", "net.": "Module.", "opt:": "Optimizer.",
      "opt.": "Optimizer.", "scheduler:": "Scheduler.", "node:": "Node.", "node.": "Node.", "hook:": "Hook.",
      "generator:": "Generator.", "loader:": "DataLoader.",
    ]
    for (prefix, place) in places where head.hasPrefix(prefix) {
      let name = place + head.dropFirst(prefix.count)
      return name.hasPrefix("nn.Module.") ? String(name.dropFirst(3)) : name
    }
    return String(head)
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
