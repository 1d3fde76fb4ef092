// Containers: modules that hold others.

import Tensors

/// Modules applied one after another, each to what the one before it returned.
public final class Sequential: Module {
  private var modules: [(name: String, module: Module)]

  /// The modules are named by their positions, `0`, `1`, ….
  public init(_ modules: Module...) {
    self.modules = modules.enumerated().map { (String($0.offset), $0.element) }
    super.init(kind: "Sequential")
  }

  /// Modules under names of their own.
  public init(named modules: [(name: String, module: Module)]) {
    self.modules = modules
    super.init(kind: "Sequential")
  }

  public override var children: [(name: String, module: Module)] { modules }

  public override func set(child name: String, _ module: Module) throws {
    guard let place = modules.firstIndex(where: { $0.name == name }) else { return try super.set(child: name, module) }
    modules[place].module = module
  }

  /// Adds a module at the end.
  public func append(_ module: Module) { modules.append((String(modules.count), module)) }

  public override func forward(_ x: Tensor) throws -> Tensor {
    try nested {
      var x = x
      for (_, module) in modules { x = try module(x) }
      return x
    }
  }
}

/// Modules in a list, for a module of one's own to hold; it computes nothing itself.
public final class ModuleList: Module {
  private var modules: [Module]

  /// The modules are named by their positions, `0`, `1`, ….
  public init(_ modules: [Module] = []) {
    self.modules = modules
    super.init(kind: "ModuleList")
  }

  public override var children: [(name: String, module: Module)] {
    modules.enumerated().map { (String($0.offset), $0.element) }
  }

  public override func set(child name: String, _ module: Module) throws {
    guard let place = Int(name), modules.indices.contains(place) else { return try super.set(child: name, module) }
    modules[place] = module
  }

  public override var mergesEqualChildren: Bool { true }

  /// Number of modules.
  public var count: Int { modules.count }
  /// The module at a position from 0 to count − 1.
  public subscript(position: Int) -> Module { modules[position] }
  /// Adds a module at the end.
  public func append(_ module: Module) { modules.append(module) }

  public override func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    throw TensorError(.argument, kind, "computes nothing itself; call the modules in it")
  }

  public override func forward(_ x: Tensor) throws -> Tensor { try forward([x])[0] }
}
