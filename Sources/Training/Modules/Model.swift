// Modules of a program's own whose contents are its properties.

import Tensors

/// A module that finds its parts by itself: stored properties that are modules are its children, under their names, and tensors are its
/// parameters, where they are marked so, or else its buffers.
///
/// ```swift
/// final class Residual: Model {
///   let first, second: Linear
///   let scale: Tensor
///
///   init(_ width: Int) throws {
///     first = try Linear(width, width)
///     second = try Linear(width, width)
///     scale = try Tensor.zeros([1]).markParameter()
///     super.init()
///   }
///
///   override func forward(_ x: Tensor) throws -> Tensor { try x + scale * second(first(x).relu()) }
/// }
/// ```
///
/// The order is that in which they are declared, superclasses first, and decides printing, optimizers and checkpoints. Properties that are
/// nil are left out, and so are lists: hold modules in a ``Sequential`` or a ``ModuleList``. Looking costs a microsecond for each
/// property, when an optimizer is made, say, and nothing when the module is called. To replace parts by name, or leave some out, derive
/// from ``Module`` and override what lists them.
open class Model: Module {
  /// `inputs` are what `forward` takes, one tensor unless it is said; see ``Module/init(kind:inputs:)``.
  public init(inputs: [Parameter] = [.input]) { super.init(inputs: inputs) }

  open override var children: [(name: String, module: Module)] { properties(Module.self).map { ($0.name, $0.value) } }

  open override var parameters: [(name: String, tensor: Tensor?)] {
    properties(Tensor.self).filter(\.value.isParameter).map { ($0.name, $0.value) }
  }

  open override var buffers: [(name: String, tensor: Tensor?)] {
    properties(Tensor.self).filter { !$0.value.isParameter }.map { ($0.name, $0.value) }
  }

  /// The stored properties of the program's classes that hold such an object, in order.
  private func properties<Object: AnyObject>(_ type: Object.Type) -> [(name: String, value: Object)] {
    var mirrors: [Mirror] = []
    var mirror: Mirror? = Mirror(reflecting: self)
    while let found = mirror, found.subjectType != Model.self {
      mirrors.append(found)
      mirror = found.superclassMirror
    }
    return mirrors.reversed().flatMap(\.children).compactMap { child in
      guard var name = child.label, let value = child.value as? Object else { return nil }
      // A lazy property's storage.
      if name.hasPrefix("$__lazy_storage_$_") { name = String(name.dropFirst("$__lazy_storage_$_".count)) }
      return (name, value)
    }
  }
}
