// References that most tensors and nodes do not have.

/// A reference that is seldom there.
///
/// What Swift does with a stored optional reference is a call into its runtime, for nil as for any other: a tensor or a node
/// has five of them, and a training step frees thirty such objects. This one looks before it calls.
package struct Seldom<Object: AnyObject>: ~Copyable {
  @usableFromInline var reference: Unmanaged<Object>?

  @inlinable @inline(__always)
  package init() {}

  @inlinable @inline(__always)
  package var value: Object? {
    get { reference?.takeUnretainedValue() }
    set {
      let old = reference
      reference = newValue.map { Unmanaged.passRetained($0) }
      if let old { old.release() }
    }
  }

  /// Whether there is one.
  @inlinable @inline(__always)
  package var isThere: Bool { reference != nil }

  /// Takes it out, counted once as before, so that whoever takes it may be its only owner.
  @inlinable @inline(__always)
  package mutating func take() -> Object? {
    let taken = reference?.takeRetainedValue()
    reference = nil
    return taken
  }

  /// Whether there is one and nobody else holds it.
  package mutating func isSole() -> Bool {
    var object = take()
    defer { reference = object.map { Unmanaged.passRetained($0) } }
    return isKnownUniquelyReferenced(&object)
  }

  @inlinable @inline(__always)
  deinit {
    if let reference { reference.release() }
  }
}
