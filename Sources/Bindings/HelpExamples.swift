// Examples in reference texts, written from what operations and classes are tested with: the samples that they declare.

import Tensors
import Training

enum HelpExamples {
  /// A call of an operation in one of its forms, and the printing of its result; nil where no sample can be written down.
  static func text(_ operation: TensorOperation, _ function: String, isMethod: Bool = false, inPlace: Bool = false) -> String? {
    if let declared = HelpTexts.examples[operation.name] { return declared }
    // What is written in place goes into the first argument, which must be able to hold it.
    let samples = operation.samples.filter { if case .float? = $0.values.first { inPlace } else { false } } + operation.samples
    for sample in samples + [Sample(operation.parameters.compactMap(usual))] {
      guard var arguments = list(sample.values, operation.parameters) else { continue }
      let isKeyword = function.hasSuffix(".repeat") || function == "repeat"
      guard isMethod || inPlace else {
        let function = isKeyword ? "mg[\"repeat\"]" : function
        return "print(\(function)(\(arguments.joined(separator: ", "))))"
      }
      guard !arguments.isEmpty else { continue }
      let x = arguments.removeFirst()
      if isKeyword { return "local x = \(x)\nprint(x[\"repeat\"](\((["x"] + arguments).joined(separator: ", "))))" }
      return "local x = \(x)\nprint(x:\(function)(\(arguments.joined(separator: ", "))))"
    }
    return nil
  }

  /// A module of a class, and what it makes of its inputs.
  static func text(_ kind: ModuleKind) -> String? {
    for sample in kind.samples {
      guard let arguments = list(sample.arguments.values, kind.parameters),
        let inputs = list(sample.inputs.values, [])
      else { continue }
      let made = "local layer = mg.nn.\(kind.name)(\(arguments.joined(separator: ", ")))"
      return inputs.isEmpty ? "\(made)\nprint(layer)" : "\(made)\nprint(layer(\(inputs.joined(separator: ", "))))"
    }
    return nil
  }

  /// Arguments as Lua: those by name stand in a table at the end, and absent ones are nil.
  private static func list(_ values: [Sample.Value], _ parameters: [Parameter]) -> [String]? {
    var list: [String] = []
    var options: [String] = []
    for (position, value) in values.enumerated() {
      let parameter = position < parameters.count ? parameters[position] : nil
      if case .absent = value {
        if parameter?.isNamedOnly != true { list.append("nil") }
        continue
      }
      guard let text = text(value, parameter?.kind ?? .tensor) else { return nil }
      if let parameter, parameter.isNamedOnly { options.append("\(parameter.name) = \(text)") } else { list.append(text) }
    }
    while list.last == "nil" { list.removeLast() }
    if !options.isEmpty { list.append("{ \(options.joined(separator: ", ")) }") }
    return list
  }

  /// A sample's value as an expression. Positions and dimensions count from 1.
  private static func text(_ value: Sample.Value, _ kind: Parameter.Kind) -> String? {
    func sizes(_ list: [Int]) -> String { list.isEmpty ? "{}" : list.map(String.init).joined(separator: ", ") }
    func position(_ number: Int) -> Int { number < 0 ? number : number + 1 }
    let counts: Bool =
      switch kind {
      case .dimension, .dimensions, .index: true
      default: false
      }
    switch value {
    case .float(let list, let range) where range == -2...2: return "mg.randn(\(sizes(list)))"
    case .float(let list, let range): return "mg.empty(\(sizes(list))):uniform_(\(number(range.lowerBound)), \(number(range.upperBound)))"
    case .integers(let list, let range):
      return "mg.randint(\(range.lowerBound), \(range.upperBound + 1), { \(list.isEmpty ? "" : sizes(list)) })"
    case .positions(let list, let range):
      return "mg.randint(\(Swift.max(range.lowerBound, 0) + 1), \(range.upperBound + 2), { \(list.isEmpty ? "" : sizes(list)) })"
    case .booleans(let list): return "mg.rand(\(sizes(list))):gt(0.5)"
    case .values(let list, let values):
      guard values.count <= 12, !values.isEmpty else { return nil }
      let numbers = "mg.tensor({ \(values.map(number).joined(separator: ", ")) }, { dtype = \"float32\" })"
      return list.count == 1 ? numbers : "\(numbers):reshape(\(sizes(list)))"
    case .tensors(let list):
      let texts = list.compactMap { text($0, .tensor) }
      return texts.count == list.count ? "{ \(texts.joined(separator: ", ")) }" : nil
    case .number(let value): return number(value)
    case .integer(let value): return "\(counts ? position(value) : value)"
    case .list(let list): return "{ \(list.map { "\(counts ? position($0) : $0)" }.joined(separator: ", ")) }"
    case .flag(let flag): return "\(flag)"
    case .text(let text): return "\"\(text)\""
    case .made(let name, let values):
      guard let kind = ModuleCatalogue.kind(named: name), let arguments = list(values, kind.parameters) else { return nil }
      return "mg.nn.\(name)(\(arguments.joined(separator: ", ")))"
    case .absent: return "nil"
    }
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "mg.nan" }
    if value.isInfinite { return value < 0 ? "-mg.inf" : "mg.inf" }
    return value == value.rounded() && value.magnitude < 1e15 ? "\(Int(value)).0" : "\(value)"
  }

  /// What a parameter that must be given usually is, for operations that have no samples: constructors and such as fill.
  private static func usual(_ parameter: Parameter) -> Sample.Value? {
    if parameter.isOptional { return nil }
    return switch parameter.kind {
    case .tensor, .sequence: .float([2, 3], 0.2...0.8)
    case .operand, .number, .order: .number(0.5)
    case .numbers: .number(1)
    case .integer, .index: .integer(3)
    case .dimension: .integer(0)
    case .shape, .integers, .sizesOrName, .dimensions: .list([2, 3])
    case .tensors: .tensors([.float(2, 3), .float(2, 3)])
    case .indices, .labels: .positions([2], 0...1)
    case .indexTensors: .tensors([.positions([2], 0...1)])
    case .boolean: .flag(true)
    case .string, .dtype: .text("float32")
    case .module, .generator: .absent
    }
  }
}
