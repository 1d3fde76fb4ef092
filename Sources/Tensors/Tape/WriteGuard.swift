// Elements that nobody may write to: what keeps a promise that parameters stay as they are.

/// While it lives, every write to the elements of its tensors is an error, before any element changes: by operations in place, by
/// copying, by assigning other elements to `data`, and by optimizers.
public final class WriteGuard {
  private let tensors: [Tensor]
  private let storages: [Storage]
  private var isOpen = true

  /// Guards tensors under the names that errors call them by.
  public init(_ tensors: [(name: String, tensor: Tensor)]) {
    self.tensors = tensors.map(\.tensor)
    storages = tensors.map(\.tensor.storage)
    let guarded = GuardedElements.ofContext
    let line = Site.phrase(Site.current, "since")
    for (name, tensor) in tensors {
      guarded.names[ObjectIdentifier(tensor.storage), default: []].append((ObjectIdentifier(self), "\(name) is guarded\(line)"))
      tensor.storage.restrictions.insert(.guarded)
    }
    Context.current.pointee.guards &+= 1
  }

  deinit { end() }

  /// Lets the tensors be written to again, but for those that another guard has too.
  public func end() {
    guard isOpen else { return }
    isOpen = false
    let guarded = GuardedElements.ofContext
    for storage in storages {
      let key = ObjectIdentifier(storage)
      guarded.names[key]?.removeAll { $0.owner == ObjectIdentifier(self) }
      if guarded.names[key]?.isEmpty ?? true {
        guarded.names[key] = nil
        storage.restrictions.remove(.guarded)
      }
    }
    if Context.current.pointee.guards > 0 { Context.current.pointee.guards &-= 1 }
  }

  /// Whether any guard is there, in the context in force.
  @inline(__always)
  package static var areThere: Bool { Context.current.pointee.guards > 0 }
}

/// The names of what is guarded, in a context.
private final class GuardedElements {
  var names: [ObjectIdentifier: [(owner: ObjectIdentifier, text: String)]] = [:]

  static var ofContext: GuardedElements {
    let context = Context.current
    if let made = context.pointee.guardedElements as? GuardedElements { return made }
    let made = GuardedElements()
    context.pointee.guardedElements = made
    return made
  }
}

extension Tensor {
  /// Throws where a guard has the elements; `name` is who wants to write.
  package func checkGuard(by name: @autoclosure () -> String) throws {
    guard storage.restrictions.contains(.guarded) else { return }
    let text = GuardedElements.ofContext.names[ObjectIdentifier(storage)]?.last?.text ?? "the tensor is guarded"
    throw TensorError(.autograd, name(), "\(text): nothing may be written to it")
  }
}
