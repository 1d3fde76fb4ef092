// Everything in a tree of modules, by name, and what is done to all of it. One walk serves modules of Swift's and of scripts'.

import Tensors

/// Tells modules apart: objects of Swift's may stand for one object of a script.
public struct ModuleIdentity: Hashable {
  private let address: UnsafeRawPointer
  /// The address of what a module is or stands for.
  public init(_ address: UnsafeRawPointer) { self.address = address }
  /// The same as a number, for errors, which must not hold pointers.
  var number: Int { Int(bitPattern: address) }
}

extension Module {
  /// Modules nested deeper than this are not entered.
  public static let deepest = 1000

  /// Modules that call each other deeper than this are refused: no model is so deep, and stacks of threads are short.
  static let deepestCall = 200

  /// Runs what calls modules within this one, which a script can have nested without end, or within itself.
  final func nested<R>(_ body: () throws -> R) throws -> R {
    let context = Context.current
    context.pointee.moduleDepth += 1
    defer { context.pointee.moduleDepth -= 1 }
    guard context.pointee.moduleDepth <= Module.deepestCall else {
      var error = TensorError(.argument, kind, "modules are within themselves, or nested more than \(Module.deepestCall) deep")
      error.place = .nowhere
      throw error
    }
    return try body()
  }

  /// This module and all below it, parents first, under dotted names; each object once, under its first name, unless
  /// `removesDuplicates` is false. A module that contains itself is not entered again, nor one below ``deepest`` levels.
  public final func namedModules(prefix: String = "", removesDuplicates: Bool = true) -> [(name: String, module: Module)] {
    var result: [(name: String, module: Module)] = []
    var seen = Set<ModuleIdentity>()
    // Without recursion: a script can nest modules deeper than a stack reaches.
    var path: [(module: Module, name: String, children: [(name: String, module: Module)], next: Int)] = []
    nestsTooDeep = false
    func enter(_ module: Module, _ name: String) {
      // Names grow with the depth, so that those of a long chain would fill any memory.
      guard path.count < Module.deepest else { return nestsTooDeep = true }
      guard seen.insert(module.identity).inserted else { return }
      result.append((name, module))
      path.append((module, name, module.ownChildren, 0))
    }
    enter(self, prefix)
    while let top = path.last {
      if top.next < top.children.count {
        path[path.count - 1].next += 1
        let child = top.children[top.next]
        enter(child.module, dotted(top.name, child.name))
      } else {
        if !removesDuplicates { seen.remove(top.module.identity) }
        path.removeLast()
      }
    }
    return result
  }

  /// All parameters, in order; a tensor that has two names is listed once, under the first, unless `removesDuplicates` is
  /// false. Without `recurse`, the module's own.
  public final func namedParameters(
    prefix: String = "", recurse: Bool = true, removesDuplicates: Bool = true
  ) -> [(name: String, tensor: Tensor)] {
    named(\.ownParameters, prefix, recurse, removesDuplicates)
  }

  /// All buffers, in order, in the same way.
  public final func namedBuffers(
    prefix: String = "", recurse: Bool = true, removesDuplicates: Bool = true
  ) -> [(name: String, tensor: Tensor)] {
    named(\.buffers, prefix, recurse, removesDuplicates)
  }

  private func named(
    _ contents: KeyPath<Module, [(name: String, tensor: Tensor?)]>, _ prefix: String, _ recurse: Bool, _ removesDuplicates: Bool
  ) -> [(name: String, tensor: Tensor)] {
    var seen = Set<ObjectIdentifier>()
    var result: [(name: String, tensor: Tensor)] = []
    let modules = recurse ? namedModules(prefix: prefix, removesDuplicates: removesDuplicates) : [(prefix, self)]
    for (path, module) in modules {
      for (name, tensor) in module[keyPath: contents] {
        guard let tensor, seen.insert(ObjectIdentifier(tensor)).inserted || !removesDuplicates else { continue }
        result.append((dotted(path, name), tensor))
      }
    }
    return result
  }

  // MARK: By path

  /// The module under a dotted name, `encoder.layers.0`; this one for an empty name. Throws where there is none.
  public final func submodule(_ path: String) throws -> Module {
    var module = self
    var passed = ""
    for part in path.isEmpty ? [] : path.split(separator: ".", omittingEmptySubsequences: false).map(String.init) {
      guard let child = module.ownChildren.first(where: { $0.name == part }) else {
        let known = module.ownChildren.map(\.name).joined(separator: ", ")
        throw TensorError(
          .argument, "get_submodule",
          "\(passed.isEmpty ? module.kind : "'\(passed)'") has no module '\(part)'\(known.isEmpty ? ", nor any other" : "; it has \(known)")"
        )
      }
      module = child.module
      passed = dotted(passed, part)
    }
    return module
  }

  /// The parameter under a dotted name, `hidden.weight`. Throws where there is none.
  public final func parameter(_ path: String) throws -> Tensor { try tensor(path, "parameter", \.ownParameters) }

  /// The buffer under a dotted name. Throws where there is none.
  public final func buffer(_ path: String) throws -> Tensor { try tensor(path, "buffer", \.buffers) }

  private func tensor(
    _ path: String, _ what: String, _ contents: KeyPath<Module, [(name: String, tensor: Tensor?)]>
  ) throws -> Tensor {
    let end = path.lastIndex(of: ".")
    let module = try submodule(end.map { String(path[..<$0]) } ?? "")
    let name = end.map { String(path[path.index(after: $0)...]) } ?? path
    let own = module[keyPath: contents]
    guard let tensor = own.first(where: { $0.name == name })?.tensor else {
      let known = own.filter { $0.tensor != nil }.map(\.name).joined(separator: ", ")
      throw TensorError(
        .argument, "get_\(what)", "\(module.kind) has no \(what) '\(name)'\(known.isEmpty ? ", nor any other" : "; it has \(known)")")
    }
    return tensor
  }

  // MARK: All of it

  /// Switches this module and all below it between training and evaluation.
  @discardableResult
  public final func train(_ mode: Bool = true) -> Self {
    for (_, module) in namedModules() { module.isTraining = mode && !module.staysInEvaluation }
    return self
  }

  /// Switches this module and all below it to evaluation.
  @discardableResult
  public final func eval() -> Self { train(false) }

  /// Clears the gradients of all parameters, or fills them with zeros.
  public final func zeroGrad(setToNone: Bool = true) throws {
    for (_, parameter) in namedParameters() { try parameter.clearGrad(setToNone: setToNone) }
  }

  /// Freezes or unfreezes all parameters.
  @discardableResult
  public final func requiresGrad(_ required: Bool = true) throws -> Self {
    for (_, parameter) in namedParameters() { try parameter.setRequiresGrad(required) }
    return self
  }

  /// Converts parameters, their gradients, and buffers of float dtypes to another one. The tensors stay the same objects, so
  /// that optimizers go on with them; what a graph has kept of the old elements is refused by its backward.
  @discardableResult
  public final func to(_ dtype: DType) throws -> Self {
    guard dtype.isFloating else {
      throw TensorError(.dtype, "to", "modules can be converted to float dtypes only, not to \(dtype)")
    }
    let tensors = (namedParameters() + namedBuffers()).map(\.tensor).filter { $0.dtype.isFloating && $0.dtype != dtype }
    // Before any is converted, so that a refusal leaves all as they were.
    if WriteGuard.areThere { for tensor in tensors { try tensor.checkGuard(by: "to") } }
    for tensor in tensors { try tensor.convert(to: dtype) }
    return self
  }

  /// Calls `body` with every module below this one, children before parents, and with this one last.
  @discardableResult
  public final func apply(_ body: (Module) throws -> Void) rethrows -> Self {
    var above = Set<ModuleIdentity>()
    try apply(body, &above)
    return self
  }

  private func apply(_ body: (Module) throws -> Void, _ above: inout Set<ModuleIdentity>) rethrows {
    guard above.insert(identity).inserted else { return }
    for child in ownChildren { try child.module.apply(body, &above) }
    try body(self)
    above.remove(identity)
  }
}

/// `prefix.name`, or the name alone.
func dotted(_ prefix: String, _ name: String) -> String { prefix.isEmpty ? name : "\(prefix).\(name)" }

extension Tensor {
  /// Drops the gradient, or fills it with zeros.
  package func clearGrad(setToNone: Bool) throws {
    if setToNone {
      try setGrad(nil)
    } else if let gradient = grad {
      // One with a history of its own is replaced, so that the history is not written to.
      if gradient.requiresGrad { try setGrad(Tensor.zeros(shape, dtype: dtype)) } else { try gradient.fill(.integer(0)) }
    }
  }
}
