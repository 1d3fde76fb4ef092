// PyTorch's word on the samples: Fixtures/operations.jsonl, and the samples as scripts/fixtures/operations.py reads them.

import Foundation
import Tensors
import Testing

import struct Tensors.Operation

/// What PyTorch makes of one example in float64.
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
}

extension Expected {
  /// By example in words.
  static let all: [String: Expected] = {
    let file = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "Fixtures/operations.jsonl")
    guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [:] }
    var found: [String: Expected] = [:]
    for line in text.split(separator: "\n") where line.first == "{" {
      guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
        let key = object["key"] as? String, let outputs = object["outputs"] as? [Any]
      else { continue }
      found[key] = Expected(
        outputs: outputs.compactMap(Values.init),
        gradients: (object["gradients"] as? [Any])?.map(Values.init),
        frees: object["frees"] as? Bool ?? false, isUnknown: object["unknown"] as? Bool ?? false)
    }
    return found
  }()
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

/// Not a test: with MOONGRAD_WRITE_SAMPLES=path it writes all samples there (see scripts/fixtures/make).
@Suite struct OperationSamples {
  private static let path = ProcessInfo.processInfo.environment["MOONGRAD_WRITE_SAMPLES"]

  @Test(.enabled(if: path != nil)) func write() throws {
    var lines = ""
    for operation in Catalogue.operations {
      for example in operation.examples { lines += try line(example, reject: false) }
      for example in operation.rejected { lines += try line(example, reject: true) }
    }
    try lines.write(toFile: Self.path!, atomically: true, encoding: .utf8)
  }

  private func line(_ example: Example, reject: Bool) throws -> String {
    let arguments = try example.sample.arguments(for: example.operation, dtype: .float64)
    var floats = 0
    func text(_ tensor: Tensor) -> String {
      var flag = ""
      if tensor.dtype.isFloating {
        if example.constants.contains(floats) { flag = #","requires_grad":false"# }
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
      case .tensors(let list): #"{"tensors":[\#(list.map(text).joined(separator: ","))]}"#
      case .number(.real(let number)): #"{"number":\#(text(.real(number)))}"#
      case .number(let number): text(number)
      case .integer(let integer): "\(integer)"
      case .integers(let list): "\(list)"
      case .boolean(let flag): "\(flag)"
      case .string(let string): "\"\(string)\""
      case .dtype(let dtype): #"{"dtype":"\#(dtype)"}"#
      }
    }
    let names = example.operation.parameters.map { "\"\($0.name)\"" }.joined(separator: ",")
    return
      #"{"op":"\#(example.operation.name)","key":"\#(example.text)","args":[\#(values.joined(separator: ","))],"names":[\#(names)],"reject":\#(reject)}"#
      + "\n"
  }
}
