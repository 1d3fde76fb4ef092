// PyTorch's word on the samples: Fixtures/operations.jsonl and operations-dtypes.jsonl, and the samples as
// scripts/fixtures/operations.py reads them.

import Foundation
import Tensors
import Testing

/// What PyTorch makes of one example, in float64 unless the example names dtypes.
struct Expected {
  struct Values {
    let shape: [Int]
    let dtype: String
    let data: [Double]
    /// The name of the output's `grad_fn`, if it has one.
    let node: String?

    /// The dtype where float tensors are `dtype` instead of float64.
    func dtype(forInputs dtype: DType) -> DType? {
      self.dtype == "float64" ? dtype : DType.allCases.first { $0.description == self.dtype }
    }
  }

  let outputs: [Values]
  /// By float input; nil where nothing depends on it. The list is nil where no output requires grad.
  let gradients: [Values?]?
  /// Whether a second backward through the same graph raises.
  let frees: Bool
  /// Whether PyTorch has no derivative to compare with.
  let isUnknown: Bool
  /// Whether it raises.
  let isError: Bool
}

extension Expected {
  /// By example in words.
  static let all = read("operations.jsonl").merging(read("operations-dtypes.jsonl")) { first, _ in first }

  /// What it makes of them in a half dtype; the keys begin with its name.
  static let halves = read("halves.jsonl")

  private static func read(_ name: String) -> [String: Expected] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/\(name)")
    guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [:] }
    var found: [String: Expected] = [:]
    for line in text.split(separator: "\n") where line.first == "{" {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let key = object["key"] as? String
      else { continue }
      found[(object["dtype"] as? String).map { "\($0) \(key)" } ?? key] = Expected(
        outputs: (object["outputs"] as? [Any] ?? []).compactMap(Values.init),
        gradients: (object["gradients"] as? [Any])?.map(Values.init),
        frees: object["frees"] as? Bool ?? false,
        isUnknown: object["unknown"] as? Bool ?? false, isError: object["error"] != nil)
    }
    return found
  }
}

extension Expected.Values {
  fileprivate init?(_ json: Any) {
    guard let object = json as? [String: Any], let dtype = object["dtype"] as? String,
      let data = object["data"] as? [Any]
    else {
      return nil
    }
    self.dtype = dtype
    shape = object["shape"] as? [Int] ?? []
    node = object["grad_fn"] as? String
    self.data = data.map { ($0 as? NSNumber)?.doubleValue ?? Double($0 as? String ?? "") ?? .nan }
  }
}

// MARK: Writing samples

/// Not a test: with MOONGRAD_WRITE_SAMPLES=directory it writes all samples there (see scripts/fixtures/make).
@Suite struct OperationSamples {
  private static let directory = ProcessInfo.processInfo.environment["MOONGRAD_WRITE_SAMPLES"]

  @Test(.enabled(if: directory != nil)) func write() throws {
    var lines = ""
    var converted = ""
    for operation in Catalogue.operations {
      for example in operation.examples + operation.special { lines += try line(example, reject: "false") }
      for example in operation.rejected { lines += try line(example, reject: "true") }
      for example in operation.converted { converted += try line(example, reject: "null") }
    }
    let directory = URL(filePath: Self.directory!)
    try lines.write(to: directory.appending(path: "operations.jsonl"), atomically: true, encoding: .utf8)
    try converted.write(
      to: directory.appending(path: "operations-dtypes.jsonl"), atomically: true, encoding: .utf8)
  }

  private func line(_ example: Example, reject: String) throws -> String {
    let arguments = try (example.dtypes.isEmpty ? example.call() : example.convertedCall()).arguments
    var floats = 0
    func text(_ tensor: Tensor) -> String {
      var flag = ""
      if tensor.dtype.isFloating {
        if !example.dtypes.isEmpty || example.constants.contains(floats) { flag = #","requires_grad":false"# }
        floats += 1
      }
      let data = tensor.scalars.map(text).joined(separator: ",")
      return #"{"tensor":{"shape":\#(tensor.shape),"dtype":"\#(tensor.dtype)","data":[\#(data)]\#(flag)}}"#
    }
    func text(_ scalar: Scalar) -> String {
      switch scalar {
      case .integer(let value): "\(value)"
      case .boolean(let value): "\(value)"
      case .real(let value):
        value.isFinite ? "\(value)" : value.isNaN ? #""nan""# : value > 0 ? #""inf""# : #""-inf""#
      }
    }
    let values = arguments.values.map { value in
      switch value {
      case .absent: "null"
      case .tensor(let tensor): text(tensor)
      case .positions(let positions): text(positions.tensor)
      case .tensors(let list): #"{"tensors":[\#(list.map(text).joined(separator: ","))]}"#
      case .number(.real(let number)): #"{"number":\#(text(.real(number)))}"#
      case .number(let number): text(number)
      case .integer(let integer): "\(integer)"
      case .integers(let list): "\(list)"
      case .boolean(let flag): "\(flag)"
      case .string(let string): "\"\(string)\""
      case .dtype(let dtype): #"{"dtype":"\#(dtype)"}"#
      case .object: #""an object""#
      }
    }
    func list(_ words: [String]) -> String { words.map { "\"\($0)\"" }.joined(separator: ",") }
    let (parameters, forms) = (example.operation.parameters, example.operation.forms)
    let called = [("mg", TensorOperation.Forms.function), ("F", .functional), ("method", .method)].filter { forms.contains($0.1) }
    return
      #"{"op":"\#(example.operation.name)","key":"\#(example.text)","args":[\#(values.joined(separator: ","))],"#
      + #""names":[\#(list(parameters.map(\.name)))],"kinds":[\#(list(parameters.map { "\($0.kind)" }))],"#
      + #""named":[\#(list(parameters.filter(\.isNamedOnly).map(\.name)))],"forms":[\#(list(called.map(\.0)))],"reject":\#(reject)}"# + "\n"
  }
}
