// Where results differ from PyTorch's on purpose, each with its reason; the laws in OperationsTests.swift hold everywhere else.
// An entry that differs no more fails them too.

import Glibc
import Tensors

enum Differences {
  // MARK: Dtypes

  /// The dtype of what is computed where PyTorch refuses the dtypes, or computes in another one.
  enum Kind {
    /// The common dtype of the tensors, a float one where a plain number is none of theirs.
    case common
    /// The same, a float one always.
    case floating
    case always(DType)

    func dtype(of example: Example) throws -> DType {
      let count = try example.call().inputs.count
      var common = (0..<count).map { example.dtypes[$0 % example.dtypes.count] }.reduce(nil as DType?) { found, next in
        found.map { DType.promoted($0, next) } ?? next
      }!
      let takesNumber = example.sample.values.contains { if case .number = $0 { true } else { false } }
      switch self {
      case .always(let dtype): return dtype
      case .common: if takesNumber, !common.isFloating { common = .float32 }
      case .floating: if !common.isFloating { common = .float32 }
      }
      return common
    }
  }

  /// Operations that compute where PyTorch refuses the dtypes or computes in another one. The values are those of float64.
  static let computed: [String: Kind] = [
    // Functions of floats take whole numbers as exp and sin do, which PyTorch allows of some only.
    "frac": .floating, "logsigmoid": .floating, "silu": .floating, "softsign": .floating, "mish": .floating, "hardsigmoid": .floating,
    "hardswish": .floating, "relu6": .floating, "softmax": .floating, "log_softmax": .floating,
    // Arithmetic of several tensors promotes as + and * do. PyTorch takes only equal dtypes, or floats, or keeps whole numbers
    // where a factor is 0.5. A difference with bools it refuses for fear that ~ was meant.
    "sub": .common, "addcmul": .common, "addmm": .common, "addcdiv": .floating, "lerp": .floating, "isclose": .always(.bool),
    // So do losses.
    "huber_loss": .floating, "smooth_l1_loss": .floating, "binary_cross_entropy": .floating,
    "binary_cross_entropy_with_logits": .floating, "kl_div": .floating, "hinge_embedding_loss": .floating,
    "margin_ranking_loss": .floating, "multilabel_soft_margin_loss": .floating, "poisson_nll_loss": .floating,
    "gaussian_nll_loss": .floating, "soft_margin_loss": .floating, "triplet_margin_loss": .floating,
    // Bools are ordered and count.
    "argmax": .always(.int64), "argmin": .always(.int64), "topk": .common, "kthvalue": .common, "median": .common, "nanmedian": .common,
    "trace": .always(.int64),
    "addmv": .common, "addr": .common, "baddbmm": .common, "addbmm": .common, "logaddexp": .floating, "logaddexp2": .floating,
    "rsub": .common, "mvlgamma": .floating, "tanhshrink": .floating, "softmin": .floating, "pairwise_distance": .floating,
    "gradient": .floating,
    // Of whole numbers PyTorch convolves all, and transposes int64 alone.
    "conv_transpose1d": .common, "conv_transpose2d": .common, "conv_transpose3d": .common,
    // It finds maxima of whole numbers over two dimensions and three, and puts none back.
    "max_pool1d": .common, "max_unpool1d": .common, "max_unpool2d": .common, "max_unpool3d": .common,
    // What only moves elements, or adds them up.
    "functional.unfold": .common, "fold": .common, "interpolate": .common,
  ]

  /// Whether the dtypes are refused, although PyTorch takes them: float functions that it keeps in whole numbers, and arithmetic
  /// of bools, which is more often a mistake.
  static func refuses(_ example: Example) -> Bool {
    switch example.operation.name {
    case "hardtanh": true
    // What is written has the dtype of what it is written into.
    case "select_scatter", "slice_scatter", "diagonal_scatter": example.dtypes.count == 2
    case "index_fill": example.text.contains("[] in") && example.dtypes.count == 2 && example.dtypes[0].isWhole(below: example.dtypes[1])
    // PyTorch computes in the first one's dtype.
    case "linalg.solve_triangular": example.dtypes.count == 2 && example.dtypes[0].isFloating && example.dtypes[1] != example.dtypes[0]
    // Means and norms of int64, of which PyTorch makes whole numbers.
    case "avg_pool1d", "avg_pool2d", "avg_pool3d", "local_response_norm": example.dtypes == [.int64]
    // Sums of bools, and means that are rounded.
    case "functional.unfold", "fold": example.dtypes == [.bool]
    case "interpolate": example.dtypes == [.uint8] && example.text.contains("bilinear")
    case "lp_pool1d", "lp_pool2d", "lp_pool3d": example.dtypes == [.int64] || example.dtypes == [.bool]
    case "index_add", "scatter_add": example.dtypes == [.bool]
    default: false
    }
  }

  // MARK: Matrices

  /// Operations whose vectors may point the other way, which libraries differ in; so values are compared without their signs.
  static let unsigned: Set = ["linalg.eigh", "linalg.svd", "svd"]

  /// Those whose gradients are not compared, since they go with the signs; or since PyTorch's has parts for what is not read.
  static let ownGradients: Set = unsigned.union(["cholesky_solve"])

  /// Those that refuse halves, of which PyTorch makes NaN, or the determinant of an empty matrix only.
  static let refusesHalves: Set = ["linalg.matrix_exp", "linalg.det"]

  /// Those that take halves, which PyTorch refuses.
  static let computesHalves: Set = ["avg_pool3d", "interpolate", "lp_pool3d", "local_response_norm"]

  // MARK: Infinities and NaN

  /// Elements of the special sample's result that are not PyTorch's, by position.
  static let values: [String: [Int: Double]] = [
    // −∞ · 0, of which the limit exists.
    "silu": [3: 0], "mish": [3: 0], "gelu": [3: 0],
  ]

  /// The same of the first input's gradient, whose seed is cos(i).
  static let gradients: [String: [Int: Double]] = [
    // The limit at −∞; and at the pole, where PyTorch takes the sine of a rounded π for a number that can be divided by.
    "digamma": [3: 0, 5: .infinity],
    // 1 / (1 + |x|)², which PyTorch composes of ∞ / ∞.
    "softsign": [2: 0, 3: 0],
    // No branch holds beside NaN, of which PyTorch takes the last.
    "hardswish": [4: 0],
    // By the signs, as abs; PyTorch divides the result by the input.
    "copysign": [5: cos(5), 6: -cos(6), 7: 0, 12: cos(12)],
    // The product of the others, which PyTorch gets by dividing the whole. Of the rows (1, NaN, 2) and (3, −∞, ∞).
    "prod": [1: 2, 4: .infinity, 5: -.infinity],
    "cumprod": [1: cos(1) + 2 * cos(2), 4: .infinity, 5: -.infinity],
  ]

  /// The same in halves, where PyTorch does otherwise than in float32.
  static let halfGradients: [String: [Int: Double]] = [
    // Beside NaN no branch holds, of which its vectors take the last.
    "hardtanh": [4: 0], "relu6": [4: 0],
  ]
}

extension DType {
  /// Whether it cannot take values of the other kind.
  fileprivate func isWhole(below other: DType) -> Bool { !isFloating && (other.isFloating || self == .bool && other != .bool) }
}
