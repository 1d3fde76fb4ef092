// What is done to the gradients of many parameters at once, and to the parameters as one vector: torch.nn.utils.
//
// A frozen parameter is not counted where gradients are clipped, even where it was given one by hand: no step will use it, and it would
// make the others smaller.

import Tensors

/// Norms and limits of gradients. All of it outside the graph, except for what makes vectors.
public enum GradientUtilities {
  /// The p-norm of all elements of some tensors together; `infinity` is the largest element.
  ///
  /// Throws for tensors that are not floating, and where the norm is not finite if that is an error.
  public static func totalNorm(
    _ tensors: [Tensor], norm p: Double = 2, errorIfNonfinite: Bool = false, operation: String = "get_total_norm"
  ) throws -> Tensor {
    guard !p.isNaN else { throw TensorError(.argument, operation, "norm_type must be a number, got nan") }
    guard !tensors.isEmpty else { return try Tensor.zeros([]) }
    let total = try withNoGrad {
      let norms = try tensors.map { tensor in
        guard tensor.dtype.isFloating else {
          throw TensorError(.dtype, operation, "a float tensor is needed, one is of \(tensor.dtype)")
        }
        return try tensor.detach().norm(p)
      }
      let dtype = norms.map(\.dtype).reduce(norms[0].dtype) { DType.promoted($0, $1) }
      return try Tensor(norms.map { try $0.item().real }, dtype: dtype).norm(p)
    }
    let value = try total.item().real
    if errorIfNonfinite, !value.isFinite {
      throw TensorError(
        .domain, operation, "the norm of order \(pythonNumber(p)) of the gradients is \(value); pass error_if_nonfinite = false to go on")
    }
    return total
  }

  /// The gradients that steps will use.
  private static func gradients(of parameters: [Tensor]) -> [Tensor] { parameters.compactMap { $0.requiresGrad ? $0.grad : nil } }

  /// Scales gradients down, so that a norm that is known becomes at most `largest`.
  public static func clipGradients(_ parameters: [Tensor], norm total: Tensor, to largest: Double, operation: String) throws {
    guard !largest.isNaN else { throw TensorError(.argument, operation, "max_norm must be a number, got nan") }
    try withNoGrad {
      let factor = try min(1, largest / (total.to(.float64).item().real + 1e-6))
      for gradient in gradients(of: parameters) {
        try gradient.detach().assign(gradient.detach() * factor)
      }
    }
  }

  /// The same for the norm of all gradients, which is returned as it was before.
  @discardableResult
  public static func clipGradientNorm(
    _ parameters: [Tensor], to largest: Double, norm p: Double = 2, errorIfNonfinite: Bool = false
  ) throws -> Tensor {
    let total = try totalNorm(gradients(of: parameters), norm: p, errorIfNonfinite: errorIfNonfinite, operation: "clip_grad_norm_")
    try clipGradients(parameters, norm: total, to: largest, operation: "clip_grad_norm_")
    return total
  }

  /// Limits each element of all gradients to ±largest.
  public static func clipGradientValue(_ parameters: [Tensor], to largest: Double) throws {
    guard largest >= 0 else {
      throw TensorError(.argument, "clip_grad_value_", "clip_value must be a number that is not negative, got \(pythonNumber(largest))")
    }
    try withNoGrad {
      for gradient in gradients(of: parameters) {
        try gradient.detach().assign(gradient.detach().clamp(.real(-largest), .real(largest)))
      }
    }
  }

  /// All elements one after another. Part of the graph.
  public static func vector(of parameters: [Tensor]) throws -> Tensor {
    guard !parameters.isEmpty else { throw TensorError(.argument, "parameters_to_vector", "the list of parameters is empty") }
    return try Tensor.cat(parameters.map { try $0.reshape([-1]) })
  }

  /// Gives parameters the elements of a vector, one after another. They do not share them.
  public static func assign(_ vector: Tensor, to parameters: [Tensor]) throws {
    let count = parameters.reduce(0) { $0 + $1.count }
    guard vector.rank == 1, vector.count == count else {
      throw TensorError(.shape, "vector_to_parameters", "a vector of \(count) elements is needed, got shape \(vector.shape)")
    }
    if WriteGuard.areThere { for parameter in parameters { try parameter.checkGuard(by: "vector_to_parameters") } }
    try withNoGrad {
      var offset = 0
      for parameter in parameters {
        try parameter.detach().assign(vector.detach().narrow(0, offset, parameter.count).reshape(parameter.shape.array))
        offset += parameter.count
      }
    }
  }

  private static let parameters = Take.tensors("parameters")
  private static let normType = Take.number("norm_type", default: 2)
  private static let errors = Take.flag("error_if_nonfinite", default: false)
  /// PyTorch's choice among its implementations; here there is one.
  private static let foreach = Take.optionalFlag("foreach", namedOnly: true)

  /// Under PyTorch's names: what Lua binds as nn.utils and help explains.
  package static let operations: [TensorOperation] = [
    TensorOperation(
      "clip_grad_norm_", "Scales the gradients down where their norm together is above max_norm; returns the norm as it was.", parameters,
      Take.number("max_norm"), normType, errors, foreach, forms: .function
    ) { parameters, largest, p, isError, _ in
      .tensor(try clipGradientNorm(parameters, to: largest, norm: p, errorIfNonfinite: isError))
    },
    TensorOperation(
      "clip_grad_value_", "Limits each element of the gradients to ±clip_value.", parameters, Take.number("clip_value"), foreach,
      forms: .function
    ) { parameters, largest, _ in
      try clipGradientValue(parameters, to: largest)
      return .several([])
    },
    TensorOperation(
      "get_total_norm", "The norm of order norm_type of all elements of some tensors together.", Take.tensors("tensors"), normType, errors,
      foreach, forms: .function
    ) { tensors, p, isError, _ in .tensor(try totalNorm(tensors, norm: p, errorIfNonfinite: isError)) },
    TensorOperation(
      "clip_grads_with_norm_", "Scales the gradients down by a norm that is known, so that it is at most max_norm.", parameters,
      Take.number("max_norm"), Take.tensor("total_norm"), foreach, forms: .function
    ) { parameters, largest, total, _ in
      try clipGradients(parameters, norm: total, to: largest, operation: "clip_grads_with_norm_")
      return .several([])
    },
    TensorOperation(
      "parameters_to_vector", "The elements of all parameters, one after another, in a vector.", parameters, forms: .function
    ) { .tensor(try vector(of: $0)) },
    TensorOperation(
      "vector_to_parameters", "Gives parameters the elements of a vector, one after another.", Take.tensor("vec"), parameters,
      forms: .function
    ) { vector, parameters in
      try assign(vector, to: parameters)
      return .several([])
    },
  ]
}
