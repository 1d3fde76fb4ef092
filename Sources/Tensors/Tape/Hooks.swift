// Functions that see gradients on their way, and what becomes of the gradients after that.

/// A hook on a gradient: sees it and may return another one.
package final class Hook {
  package let body: (Tensor) throws -> Tensor?
  package init(_ body: @escaping (Tensor) throws -> Tensor?) { self.body = body }
}

/// A hook on a node; lists have nil where nothing arrived.
package final class NodeHook {
  package let body: ([Tensor?], [Tensor?]) throws -> [Tensor?]?
  package init(_ body: @escaping ([Tensor?], [Tensor?]) throws -> [Tensor?]?) { self.body = body }
}

struct WeakTensor {
  weak var tensor: Tensor?
}

extension Hook {
  /// The gradient after the hook has seen it. The hook may have replaced the elements of the very object (`g.data = …`,
  /// `g:free()`), which what follows could not bear in another shape.
  func seen(_ gradient: Tensor) throws -> Tensor {
    let (shape, dtype) = (gradient.shape, gradient.dtype)
    return try Hook.checked(body(gradient) ?? gradient, shape, dtype, "hook")
  }

  static func checked(_ replaced: Tensor, _ shape: Shape, _ dtype: DType, _ place: String) throws -> Tensor {
    guard replaced.shape == shape else {
      throw TensorError(.shape, place, "a hook returned a gradient of shape \(replaced.shape) for one of shape \(shape)")
    }
    return replaced.dtype == dtype ? replaced : try replaced.to(dtype)
  }
}

extension NodeHook {
  /// The same for a node's hook and the gradients that it may replace.
  func seen(_ inputs: [Tensor?], _ outputs: [Tensor?], replacing gradients: [Tensor?], _ place: String) throws -> [Tensor?] {
    let all = inputs + outputs
    let shapes = all.map { $0?.shape }
    let replaced = try body(inputs, outputs)
    guard all.map({ $0?.shape }) == shapes else {
      throw TensorError(.shape, place, "a hook replaced the elements of a gradient by others of another shape")
    }
    guard let replaced else { return gradients }
    guard replaced.count == gradients.count else {
      throw TensorError(.argument, place, "a hook returned \(replaced.count) gradients where there are \(gradients.count)")
    }
    return try zip(replaced, gradients).map { new, old in
      guard let new, let old else { return new }
      return try Hook.checked(new, old.shape, old.dtype, place)
    }
  }
}
