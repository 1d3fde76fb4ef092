// A module: tensors and other modules under names, and a computation that uses them.

import Tensors

/// The base of everything that models are built of.
///
/// A subclass names its own tensors by overriding `parameters`, `buffers` and `children` (in the order in which
/// PyTorch registers them, since that order decides printing, optimizers and checkpoints), and computes in one of the
/// forms of `forward`. Call a module rather than its `forward`, so that its hooks run.
open class Module {
  /// The class name that printing and errors show, `Linear`.
  public final var kind: String { givenKind ?? "\(type(of: self))" }
  private final let givenKind: String?
  /// What `forward` takes, with the kinds: what holds labels or positions counts from 0 here. Most modules take tensors only.
  public let inputs: [Parameter]
  /// Whether it takes more than tensors, or positions in several places, so that calls are read by the names and kinds of `inputs`.
  package let takesOptions: Bool
  /// How a layer above reads its calls, made once.
  package final var reader: AnyObject?
  /// Which input holds labels or positions, as losses of classes and embeddings have one; negative when none does.
  public let positionInput: Int
  /// Whether dropout drops and statistics are collected; see `train(_:)`.
  open var isTraining: Bool {
    get { trains }
    set { trains = newValue }
  }
  private final var trains = true
  /// Whether `train(_:)` leaves it in evaluation, since it was frozen with all that it has; see Freezing.swift.
  open var staysInEvaluation: Bool {
    get { isHeld }
    set { isHeld = newValue }
  }
  private final var isHeld = false
  /// Called with the inputs before `forward`, first to last.
  public final var forwardPreHooks: [ForwardPreHook] = [] { didSet { noteHooks() } }
  /// Called with the inputs and outputs after `forward`, first to last.
  public final var forwardHooks: [ForwardHook] = [] { didSet { noteHooks() } }
  // Unchecked here and in what modules compute with: every call reads it.
  @exclusivity(unchecked) private final var hasHooks = false
  /// Whether the last walk over it ended above modules that it did not enter.
  package final var nestsTooDeep = false
  /// Whatever a layer above ties to the module.
  @exclusivity(unchecked) public final var attachment: AnyObject?
  /// What computes parameters before each call; see Parametrization.swift.
  final var parametrizations: ParametrizationTable? { didSet { noteHooks() } }
  /// What its calls add to what they compute; see LowRankAdapter.swift.
  final var adapter: LowRankAdapter? { didSet { noteHooks() } }
  /// Ids of hooks are not used again.
  final var lastHook = 0

  /// `kind` is the class name that printing and errors show, nil for the type's own, and `inputs` are what `forward` takes.
  public init(kind: String? = nil, inputs: [Parameter] = [.input]) {
    givenKind = kind
    self.inputs = inputs
    positionInput = inputs.firstIndex { $0.kind == .labels || $0.kind == .indices } ?? -1
    takesOptions =
      inputs.contains { ![.tensor, .labels, .indices].contains($0.kind) } || inputs.count { $0.kind == .labels || $0.kind == .indices } > 1
  }

  // MARK: Contents

  /// The module's own parameters, without those of its children; nil stands for one that is absent, as a bias may be.
  open var parameters: [(name: String, tensor: Tensor?)] { [] }
  /// Its own tensors that are saved but not trained.
  open var buffers: [(name: String, tensor: Tensor?)] { [] }
  /// The names of buffers that are not saved.
  open var passingBuffers: Set<String> { [] }
  /// The modules in it, without theirs.
  open var children: [(name: String, module: Module)] { [] }
  /// What tells it from others: two objects that stand for one module have one.
  open var identity: ModuleIdentity { ModuleIdentity(Unmanaged.passUnretained(self).toOpaque()) }

  /// Puts another tensor in the place of the parameter of that name; the shape is not checked, as in PyTorch.
  ///
  /// Throws when there is no such parameter, when the tensor is not floating, or when the module cannot do without.
  open func set(parameter name: String, _ tensor: Tensor?) throws {
    let known = parameters.map(\.name).joined(separator: ", ")
    throw TensorError(.argument, kind, "there is no parameter \(name)\(known.isEmpty ? "" : "; there is \(known)")")
  }

  /// Puts another tensor in the place of the buffer of that name; nil where it may be absent. Throws as `set(parameter:_:)`.
  open func set(buffer name: String, _ tensor: Tensor?) throws {
    let known = buffers.map(\.name).joined(separator: ", ")
    throw TensorError(.argument, kind, "there is no buffer \(name) that can be replaced\(known.isEmpty ? "" : "; there is \(known)")")
  }

  /// Puts another module in the place of the one of that name. Throws where there is none, or where it cannot be replaced.
  open func set(child name: String, _ module: Module) throws {
    let known = children.map(\.name).joined(separator: ", ")
    throw TensorError(.argument, kind, "there is no module \(name) that can be replaced\(known.isEmpty ? "" : "; there is \(known)")")
  }

  /// What `set(parameter:_:)` may store: a floating tensor, or nil where the parameter is optional.
  public final func checked(parameter name: String, _ tensor: Tensor?) throws -> Tensor? {
    if let tensor, !tensor.dtype.isFloating {
      throw TensorError(.dtype, kind, "the parameter \(name) must be float32 or float64, got a tensor of \(tensor.dtype)")
    }
    return tensor
  }

  /// The same for a parameter that must be there.
  public final func checked(required name: String, _ tensor: Tensor?) throws -> Tensor {
    guard let tensor = try checked(parameter: name, tensor) else {
      throw TensorError(.argument, kind, "the parameter \(name) cannot be absent")
    }
    return tensor
  }

  /// A copy by a class's own means, where those of the library's classes will not do.
  open func ownCopy() throws -> Module? { nil }

  // MARK: Computing

  /// The computation in its general form. Throws when the number of inputs is wrong.
  open func forward(_ inputs: [Tensor]) throws -> [Tensor] {
    guard inputs.count == self.inputs.count else { throw wrongCount(inputs.count) }
    switch inputs.count {
    case 1: return [try forward(inputs[0])]
    case 2: return [try forward(inputs[0], inputs[1])]
    default: throw wrongCount(inputs.count)
    }
  }

  /// What `forward` gives, with the results that are positions told apart where there are several.
  package func output(_ inputs: [Tensor]) throws -> Output { .several(try self(inputs).map { .tensor($0) }) }
  /// Stored, since every call asks.
  @exclusivity(unchecked) package final var hasSeveralOutputs = false

  /// The operation that `forward` is, with the inputs and what the module has for arguments; nil where it is not just one. By
  /// its rule the module is applied to batches (see Module+Batching.swift).
  package func asOperation(_ inputs: [Tensor]) throws -> (TensorOperation, Arguments)? { nil }

  /// The computation of modules with one input and one output, which is most of them.
  open func forward(_ x: Tensor) throws -> Tensor { throw wrongCount(1) }

  /// The computation of modules with two inputs and one output: losses take a prediction and a target.
  open func forward(_ a: Tensor, _ b: Tensor) throws -> Tensor { throw wrongCount(2) }

  /// The computation of modules that take more than tensors: arguments in the order of `inputs`, those missing at the end absent.
  open func forward(_ arguments: Arguments) throws -> [Tensor] { try forward(arguments.tensors) }

  private func wrongCount(_ found: Int) -> TensorError {
    func tensors(_ count: Int) -> String { count == 1 ? "1 tensor" : "\(count) tensors" }
    return TensorError(.argument, kind, "takes \(tensors(inputs.count)), got \(found)")
  }

  /// Runs the hooks and `forward`. Throws when a hook makes the outputs more or fewer than one.
  @inline(__always)
  public final func callAsFunction(_ x: Tensor) throws -> Tensor {
    do { return hasHooks ? try only(of: runHooked([x])) : try forward(x) } catch { throw placed(error) }
  }

  /// The same for two inputs.
  @inline(__always)
  public final func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    do { return hasHooks ? try only(of: runHooked([a, b])) : try forward(a, b) } catch { throw placed(error) }
  }

  /// The same for any inputs, with any outputs.
  public final func callAsFunction(_ inputs: [Tensor]) throws -> [Tensor] {
    do { return hasHooks ? try runHooked(inputs) : try forward(inputs) } catch { throw placed(error) }
  }

  /// The same for arguments that are not all tensors. Hooks see the tensors.
  public final func callAsFunction(_ arguments: Arguments) throws -> [Tensor] {
    do { return hasHooks ? try runHooked(arguments) : try forward(arguments) } catch { throw placed(error) }
  }

  private func runHooked(_ arguments: Arguments) throws -> [Tensor] {
    var arguments = arguments
    for hook in forwardPreHooks {
      guard let tensors = try hook.body(self, arguments.tensors) else { continue }
      guard tensors.count == arguments.tensors.count else {
        throw TensorError(.argument, kind, "a hook made \(arguments.tensors.count) tensors \(tensors.count)")
      }
      var next = tensors.makeIterator()
      arguments = arguments.mapped { next.next() ?? $0 }
    }
    var outputs = try withComputedParameters { try adapted(arguments.tensors) { try forward(arguments) } }
    for hook in forwardHooks { outputs = try hook.body(self, arguments.tensors, outputs) ?? outputs }
    return outputs
  }

  private func runHooked(_ inputs: [Tensor]) throws -> [Tensor] {
    var inputs = inputs
    for hook in forwardPreHooks { inputs = try hook.body(self, inputs) ?? inputs }
    var outputs = try withComputedParameters { try adapted(inputs) { try forward(inputs) } }
    for hook in forwardHooks { outputs = try hook.body(self, inputs, outputs) ?? outputs }
    return outputs
  }

  /// An error that was thrown within a call of this module: it says which module's it is, by the name that it has in this one.
  /// Only errors take the time.
  package final func placed(_ error: any Error) -> any Error {
    guard var failure = error as? TensorError else { return error }
    guard let place = failure.place else {
      failure.place = TensorError.Place(module: identity.number)
      return failure
    }
    if let path = path(of: place.module) { failure.place?.path = path }
    return failure
  }

  /// The name, in this module, of the one that has an identity; nil where it is not in it.
  package final func path(of module: Int) -> String? {
    namedModules().first { $0.module.identity.number == module }?.name
  }

  private func only(of outputs: [Tensor]) throws -> Tensor {
    guard outputs.count == 1 else {
      throw TensorError(.argument, kind, "one output was expected, a hook made it \(outputs.count)")
    }
    return outputs[0]
  }

  private func noteHooks() {
    hasHooks = !forwardPreHooks.isEmpty || !forwardHooks.isEmpty || parametrizations != nil || adapter != nil
  }

  // MARK: Printing

  /// Whether runs of children that print alike share a line.
  open var mergesEqualChildren: Bool { false }

  /// The options between the parentheses of the printed form, `in_features=3, out_features=2, bias=True`.
  public final var extraDescription: String { extraDescription(indexBase: 0) }

  /// The same for readers who count from `base`.
  open func extraDescription(indexBase base: Int) -> String { "" }
}
