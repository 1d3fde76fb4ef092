// From Lua arguments to an operation's: by position or by option name, converted by the parameter's kind. Here, and
// only here, positions and dimensions that count from 1 become ones that count from 0.

import LuaRuntime
import Tensors
import Training

/// Reads the arguments of one function by its list of parameters.
struct Decoder {
  let name: String
  let parameters: [Parameter]
  /// Whether argument 1 is `self` of a method call, so that users count from the next.
  let isMethod: Bool
  /// Whether it may give tensors of a batch, for whom runs operations on them.
  let takesBatches: Bool
  /// How many arguments come before the first that it reads, which are not counted for users: the module that is called.
  private let skips: Int
  /// Who knows modules of scripts' own classes, where some parameter is one.
  private let modules: ModuleLibrary?
  /// Whether there is an option `device`, which changes nothing.
  private let takesDevice: Bool
  private let names: [String: Int]
  private let lastIsGreedy: Bool
  /// How many can be given by position, how many must, and whether a list of them may stand as separate arguments.
  private let positional: Int
  private let required: Int
  /// Where a list of tensors is expected, whose elements may stand as separate arguments; 0 for nowhere.
  private let tensorsAt: Int

  init(
    _ name: String, _ parameters: [Parameter], isMethod: Bool, takesBatches: Bool = false, takesDevice: Bool = false, skips: Int = 0,
    modules: ModuleLibrary? = nil
  ) {
    self.skips = skips
    self.modules = modules
    self.takesBatches = takesBatches
    // Constructors of tensors have it too.
    self.takesDevice = takesDevice || parameters.contains { $0.name == "requires_grad" }
    self.name = name
    self.parameters = parameters
    self.isMethod = isMethod
    names = Dictionary(uniqueKeysWithValues: parameters.enumerated().map { ($1.name, $0) })
    positional = parameters.count { !$0.isNamedOnly }
    required = (parameters.lastIndex { !$0.isOptional } ?? -1) + 1
    tensorsAt = (parameters.firstIndex { $0.kind == .tensors } ?? -1) + 1
    switch parameters.last(where: { !$0.isNamedOnly })?.kind {
    case .shape, .dimensions, .integers: lastIsGreedy = true
    default: lastIsGreedy = false
    }
  }

  /// Whether a call gives its arguments one by one, without options, so that each can be read where it stands.
  func isPlain(_ call: borrowing Call) -> Bool {
    let count = call.count
    guard count >= required, count > 0 else { return false }
    // Sizes as separate arguments are read as one.
    guard count <= positional || lastIsGreedy && call[positional].type == .number else { return false }
    if tensorsAt != 0, call[tensorsAt].type != .table { return false }
    let last = call[count]
    if count > positional, last.isNil { return false }
    return last.type != .table || last.rawLength > 0
  }

  /// An argument of such a call, by its position from 0.
  func argument(_ call: borrowing Call, _ position: Int) throws -> Argument {
    guard position < call.count, position < positional else { return .absent }
    let slot = call[position + 1]
    if lastIsGreedy, position == positional - 1, slot.type == .number { return try numbers(call, position, position + 1...call.count) }
    return slot.isNil && parameters[position].isOptional ? .absent : try value(slot, position, position + 1)
  }

  func decode(_ call: borrowing Call) throws -> Arguments {
    var values = [Argument](repeating: .absent, count: parameters.count)
    var count = call.count
    // What a function that wraps this one passes on where it was given no options.
    while count > positional + skips, call[count].isNil { count -= 1 }
    var options: Slot?
    if count > skips, takesOptions(call[count], position: count - 1 - skips) {
      options = call[count]
      count -= 1
    }
    var argument = 1 + skips
    for (position, parameter) in parameters.enumerated() where argument <= count && !parameter.isNamedOnly {
      let slot = call[argument]
      let isLast = position == parameters.count - 1 || parameters[(position + 1)...].allSatisfy(\.isNamedOnly)
      if isLast, lastIsGreedy, slot.type == .number {
        values[position] = try numbers(call, position, argument...count)
        argument = count + 1
        continue
      }
      if isLast, parameter.kind == .tensors, object(slot) != nil {
        // Tensors as separate arguments.
        var list: [Tensor] = []
        while argument <= count {
          guard let tensor = object(call[argument]) else {
            throw ArgumentError("\(place(position, argument, false)): expected a tensor, got \(Decoder.found(call[argument]))")
          }
          list.append(tensor)
          argument += 1
        }
        values[position] = .tensors(list)
        continue
      }
      if !slot.isNil || !parameter.isOptional { values[position] = try value(slot, position, argument) }
      argument += 1
    }
    guard argument > count else {
      throw ArgumentError(
        "\(name): \(shown(count)) argument\(shown(count) == 1 ? "" : "s") given, but it takes at most \(positional - (isMethod ? 1 : 0)): \(signature)"
      )
    }
    if let options { try read(options, into: &values) }
    for (position, parameter) in parameters.enumerated() {
      if case .absent = values[position], !parameter.isOptional {
        if isMethod, position == 0 { throw wrongSelf("nothing") }
        throw ArgumentError(
          "\(name): argument \(shown(position + 1 + skips)) (\(parameter.name)) is missing; expected \(Decoder.expectation(parameter)): \(signature)"
        )
      }
    }
    return Arguments(name, values)
  }

  /// The rest of the arguments, where they are plain numbers: sizes or dimensions one by one.
  private func numbers(_ call: borrowing Call, _ parameter: Int, _ range: ClosedRange<Int>) throws -> Argument {
    if range.count == 1, parameters[parameter].kind == .integers {
      return .integer(try integer(call[range.lowerBound], parameter, range.lowerBound))
    }
    var list: [Int] = []
    list.reserveCapacity(range.count)
    for argument in range { list.append(try integer(call[argument], parameter, argument)) }
    return .integers(list)
  }

  /// The user's count of arguments: without `self`.
  private func shown(_ position: Int) -> Int { position - skips - (isMethod ? 1 : 0) }

  var signature: String {
    let list = parameters.dropFirst(isMethod ? 1 : 0).map { parameter in
      parameter.defaultText.isEmpty
        ? (parameter.isOptional ? "[\(parameter.name)]" : parameter.name) : "\(parameter.name) = \(parameter.defaultText)"
    }
    return "\(isMethod ? "x:" : "")\(name)(\(list.joined(separator: ", ")))"
  }

  /// Whether a last argument is the option table: it has string keys, or nothing at all where no list fits.
  private func takesOptions(_ slot: Slot, position: Int) -> Bool {
    guard slot.type == .table, slot.rawLength == 0 else { return false }
    // A packed sequence has named fields too.
    if position < parameters.count, parameters[position].kind == .sequence { return false }
    if slot.keys.haveNames { return true }
    guard position < parameters.count else { return true }
    switch parameters[position].kind {
    case .shape, .dimensions, .integers, .sizesOrName, .tensors, .tensor, .operand: return false
    default: return true
    }
  }

  private func read(_ options: Slot, into values: inout [Argument]) throws {
    try options.forEachPair(runsScripts: false) { key, slot in
      guard let option = key.string else {
        throw ArgumentError("\(name): options are named, but one has a key of type \(key.typeName)")
      }
      if takesDevice, option == "device" { return try Devices.check(slot, "\(name): option 'device'") }
      guard let position = names[option], !(isMethod && position == 0) else {
        let known = parameters.dropFirst(isMethod ? 1 : 0).map(\.name)
        let hint = nearest(option, known).map { "; did you mean '\($0)'?" } ?? ""
        throw ArgumentError("\(name): unknown option '\(option)'\(hint) (known: \(known.joined(separator: ", ")))")
      }
      if case .absent = values[position] {
      } else {
        throw ArgumentError("\(name): '\(option)' is given twice, by position and as an option")
      }
      values[position] = try value(slot, position, position + 1 + skips, named: true)
    }
  }

  /// A tensor, of a batch too where those are taken.
  @inline(__always)
  private func object(_ slot: Slot) -> Tensor? { takesBatches ? slot.anyTensor : slot.object(tensorKind) }

  // MARK: By kind

  // Parameters go by their number here: copies of them would be counted.

  private func value(_ slot: Slot, _ parameter: Int, _ position: Int, named: Bool = false) throws -> Argument {
    try value(of: parameters[parameter].kind, slot, parameter, position, named: named)
  }

  private func value(
    of kind: Parameter.Kind, _ slot: Slot, _ parameter: Int, _ position: Int, named: Bool
  ) throws -> Argument {
    switch kind {
    case .tensor:
      if let tensor = object(slot) { return .tensor(tensor) }
    case .operand:
      if let tensor = object(slot) { return .tensor(tensor) }
      // A method's own tensor is one.
      if let number = slot.scalar, !(isMethod && position == 1 && !named) { return .number(number) }
    case .tensors:
      if slot.type == .table {
        var list: [Tensor] = []
        try slot.forEachElement { index, element in
          guard let tensor = object(element) else {
            throw ArgumentError(
              "\(place(parameter, position, named)): element \(index) is not a tensor but \(Decoder.found(element))")
          }
          list.append(tensor)
        }
        return .tensors(list)
      }
    case .number, .order:
      if kind == .order, slot.type == .string, let text = slot.string { return .string(text) }
      if let number = slot.scalar { return .number(number) }
      if let tensor = slot.object(tensorKind), tensor.count == 1 {
        guard !tensor.requiresGrad else {
          throw ArgumentError(
            "\(place(parameter, position, named)): a plain number is expected, and the tensor given requires grad, so that its gradient would be lost; pass x:item() or x:detach() if only the value is meant"
          )
        }
        return .number(try tensor.item())
      }
    case .integer:
      if slot.type == .number { return .integer(try integer(slot, parameter, position)) }
    case .dimension, .index:
      if slot.type == .number { return .integer(try integer(slot, parameter, position)) }
      // max(x, other) and the like take a tensor in the dimension's place.
      if kind == .dimension, let tensor = object(slot) { return .tensor(tensor) }
    case .dimensions, .shape, .integers, .sizesOrName:
      if kind == .sizesOrName, slot.type == .string, let text = slot.string { return .string(text) }
      if slot.type == .number {
        let number = try integer(slot, parameter, position)
        return kind == .integers || kind == .sizesOrName ? .integer(number) : .integers([number])
      }
      if slot.type == .table {
        var list: [Int] = []
        try slot.forEachElement { _, element in list.append(try integer(element, parameter, position)) }
        try Decoder.checkPlainList(slot, list.count, place(parameter, position, named))
        return .integers(list)
      }
    case .indices, .labels:
      if let tensor = object(slot) { return try positions(tensor, parameter, position) }
      if slot.type == .table, kind == .indices {
        return try positions(tensor(from: slot, dtype: nil, name), parameter, position)
      }
    case .numbers:
      if let number = slot.scalar { return .number(number) }
      if slot.type == .table {
        var hasTensors = false
        try slot.forEachElement { _, element in hasTensors = hasTensors || element.object(tensorKind) != nil }
        if hasTensors { return try value(of: .tensors, slot, parameter, position, named: named) }
        return .tensor(try tensor(from: slot, dtype: .float64, name))
      }
    case .indexTensors:
      if slot.type == .table {
        var list: [Tensor] = []
        try slot.forEachElement { index, element in
          guard let tensor = object(element) else {
            throw ArgumentError("\(place(parameter, position, named)): element \(index) is not a tensor but \(Decoder.found(element))")
          }
          list.append(try zeroBased(tensor, parameter, position))
        }
        return .tensors(list)
      }
    case .boolean:
      if let flag = slot.boolean { return .boolean(flag) }
    case .string:
      if let text = slot.string { return .string(text) }
    case .dtype:
      if let text = slot.string { return .dtype(try DType(named: text)) }
    case .sequence:
      if let tensor = object(slot) { return .tensor(tensor) }
      if slot.type == .table, let sequence = try PackedSequence(slot, name) { return .object(sequence) }
    case .generator:
      if let generator = slot.object(generatorKind) { return .object(generator) }
    case .module:
      if let module = try modules?.instances?.module(slot) ?? slot.object(moduleKind) { return .object(module) }
      if slot.type == .string, !parameters[parameter].defaultText.isEmpty, let text = slot.string { return .string(text) }
    }
    if isMethod, position == 1, !named {
      if slot.object(freedKind) != nil { throw ArgumentError("\(name): the tensor's elements were released by free()") }
      throw wrongSelf(Decoder.found(slot))
    }
    throw ArgumentError(
      "\(place(parameter, position, named)): expected \(Decoder.expectation(parameters[parameter])), got \(Decoder.found(slot))")
  }

  private func wrongSelf(_ found: String) -> ArgumentError {
    ArgumentError("\(name): called on \(found) instead of a tensor; methods are called with ':', not '.': x:\(name)(…)")
  }

  private func place(_ parameter: Int, _ position: Int, _ named: Bool) -> String {
    let parameter = parameters[parameter].name
    if named { return "\(name): option '\(parameter)'" }
    return "\(name): argument \(shown(position)) (\(parameter))"
  }

  /// A whole number, moved to base 0 where the kind is a position.
  private func integer(_ slot: Slot, _ parameter: Int, _ position: Int) throws -> Int {
    guard let number = slot.integer else {
      throw ArgumentError(
        "\(place(parameter, position, false)): expected \(Decoder.expectation(parameters[parameter])), got \(Decoder.found(slot))")
    }
    switch parameters[parameter].kind {
    case .dimension, .dimensions, .index:
      return try Decoder.zeroBased(number, what: parameters[parameter].kind == .index ? "indices" : "dimensions", name)
    default: return number
    }
  }

  /// 1 → 0, 2 → 1 …; −1 stays the last; 0 is the classic mistake.
  static func zeroBased(_ number: Int, what: String, _ name: String) throws -> Int {
    guard number != 0 else {
      throw ArgumentError("\(name): index 0 is out of range: \(what) start at 1 (and -1 is the last)")
    }
    return number > 0 ? number - 1 : number
  }

  /// Positions as they are for who reads them so, which rules for batches do not.
  private func positions(_ tensor: Tensor, _ parameter: Int, _ position: Int) throws -> Argument {
    if parameters[parameter].readsFromOne, tensor.dtype.category == .integer, !BatchLevels.areInForce {
      return .positions(Positions(tensor, from: 1))
    }
    return .tensor(try zeroBased(tensor, parameter, position))
  }

  private func zeroBased(_ tensor: Tensor, _ parameter: Int, _ position: Int) throws -> Tensor {
    // Probabilities as targets, and masks, are no positions.
    if tensor.dtype.isFloating || tensor.dtype == .bool { return tensor }
    return try zeroBasedPositions(tensor, parameters[parameter].kind == .labels ? "class labels" : "indices", name)
  }

  static func expectation(_ parameter: Parameter) -> String {
    switch parameter.kind {
    case .tensor, .indices, .labels: "a tensor"
    case .operand: "a tensor or a number"
    case .tensors, .indexTensors: "a list of tensors"
    case .number: "a number"
    case .integer: "a whole number"
    case .dimension: "a dimension (a whole number)"
    case .dimensions: "a dimension or a list of them"
    case .index: "an index (a whole number)"
    case .boolean: "true or false"
    case .string: "a string"
    case .order: "a number or a name"
    case .shape: "sizes (whole numbers or a list of them)"
    case .integers: "a whole number or a list of them"
    case .sizesOrName: "a whole number, a list of them or a name"
    case .numbers: "a number, a list of numbers or a list of tensors"
    case .dtype: "a dtype such as \"float32\""
    case .sequence: "a tensor or a packed sequence"
    case .generator: "a generator (mg.Generator())"
    case .module: parameter.defaultText.isEmpty ? "a module" : "a module or a name"
    }
  }

  /// A list that also has named fields is neither a list nor options, and one with holes has no certain end.
  static func checkPlainList(_ slot: Slot, _ length: Int, _ place: String) throws {
    let keys = slot.keys
    guard keys.count == length else {
      if keys.haveNames {
        throw ArgumentError("\(place): a list with named fields; options go into a table of their own, the last argument")
      }
      var hole = 1
      while try slot.withElement(hole, { !$0.isNil }) { hole += 1 }
      throw ArgumentError("\(place): element \(hole) of the list is nil, and there are others after it: a list cannot have holes")
    }
  }

  /// What came, for messages: numbers and strings by value.
  static func found(_ slot: Slot) -> String {
    if slot.isInteger, let integer = slot.integer { return "\(integer)" }
    if let number = slot.number { return "\(number)" }
    if let shown = slot.withBytes(shown) { return shown }
    if let flag = slot.boolean { return "\(flag)" }
    if let tensor = slot.object(tensorKind) { return "a tensor of shape \(tensor.shape)" }
    if let tensor = slot.object(batchedKind) { return Batches.found(tensor) }
    if slot.object(freedKind) != nil { return "a tensor whose elements were released by free()" }
    switch slot.type {
    case .none, .nil: return "nil"
    case .table: return "a table"
    case .function: return "a function"
    default: return "a \(slot.typeName)"
    }
  }

  /// Long ones are not read as text at all, which takes its time for bytes that are none.
  private static func shown(_ bytes: UnsafeRawBufferPointer) -> String {
    if bytes.count <= String.mostShown {
      let text = String(decoding: bytes, as: UTF8.self)
      if text.isShort { return "\"\(text)\"" }
    }
    return "a string of \(bytes.count) bytes"
  }

  /// The same of a value that was taken out of Lua already.
  static func found(_ value: Value) -> String {
    if let tensor = value.tensor { return "a tensor of shape \(tensor.shape)" }
    return switch value {
    case .nil: "nil"
    case .boolean(let flag): "\(flag)"
    case .integer(let integer): "\(integer)"
    case .number(let number): "\(number)"
    case .string(let text) where text.isShort: "\"\(text)\""
    case .string(let text): "a string of \(text.utf8.count) bytes"
    case .bytes(let bytes): "a string of \(bytes.count) bytes"
    case .table: "a table"
    case .function: "a function"
    default: "a userdata"
    }
  }
}

extension PackedSequence {
  /// Of the table that `nn.utils.rnn` makes; nil where the table is none.
  fileprivate convenience init?(_ table: Slot, _ name: String) throws {
    var fields: [String: Tensor] = [:]
    try table.forEachPair(runsScripts: false) { key, value in
      if let name = key.string, let tensor = value.object(tensorKind) { fields[name] = tensor }
    }
    guard let data = fields["data"], let sizes = fields["batch_sizes"], sizes.dtype == .int64, sizes.rank == 1 else { return nil }
    func positions(_ name: String) throws -> Tensor? { try fields[name].map { try zeroBasedPositions($0, "indices", name) } }
    try self.init(
      data: data, sizes: try sizes.array(), sorted: positions("sorted_indices"), unsorted: positions("unsorted_indices"))
  }
}

/// Index values that count from 1, as a tensor that counts from 0.
func zeroBasedPositions(_ tensor: Tensor, _ what: String, _ name: String) throws -> Tensor {
  guard let result = try tensor.countedFromZero() else {
    let last = what == "indices" ? " (and -1 is the last)" : ""
    throw ArgumentError("\(name): index 0 is out of range: \(what) start at 1\(last)")
  }
  return tensor.batch.isEmpty || result === tensor ? result : result.inBatch(tensor.batch)
}

extension Slot {
  /// A Lua number (or boolean) as a plain number beside tensors.
  @inline(__always)
  var scalar: Scalar? {
    guard let number else { return boolean.map { .boolean($0) } }
    if isInteger, let integer { return .integer(Int64(integer)) }
    return .real(number)
  }
}

extension String {
  /// Whether a message shows it as it is. Bytes come first: to count the characters of a long one takes seconds.
  fileprivate var isShort: Bool { utf8.count <= String.mostShown && count <= 40 }
  /// Bytes of a text that messages show, at most.
  fileprivate static var mostShown: Int { 400 }
}
