// Where elements are: on the CPU, always. PyTorch's scripts say so in many places, and those that ask for another device
// learn that there is none.

import LuaRuntime
import Tensors

enum Devices {
  /// Throws unless it is the CPU.
  static func check(_ slot: Slot, _ place: String) throws {
    guard let name = slot.string else {
      throw ArgumentError("\(place): expected the device \"cpu\", got \(Decoder.found(slot))")
    }
    guard isCPU(name) else { throw refusal(name, place) }
  }

  /// What `to` is asked for after the object: a dtype, a device, both, a tensor to be like, or a table of options; nil for a
  /// device alone.
  static func dtype(_ call: borrowing Call) throws -> DType? {
    func dtype(_ name: String) throws -> DType? {
      if isCPU(name) { return nil }
      if ["cuda", "mps", "xpu", "hip", "gpu", "meta", "xla"].contains(name.prefix { $0 != ":" }) { throw refusal(name, "to") }
      return try DType(named: name)
    }
    guard call.count > 1 else { throw ArgumentError("to: expected a dtype such as \"float64\", or a tensor, got nothing") }
    var found: DType?
    for position in 2...call.count {
      let slot = call[position]
      if let tensor = slot.anyTensor {
        found = tensor.dtype
      } else if let name = slot.string {
        found = try dtype(name) ?? found
      } else if slot.type == .table, slot.keys.haveNames {
        try slot.forEachPair { key, value in
          switch key.string {
          case "dtype":
            guard let name = value.string else {
              throw ArgumentError("to: option 'dtype': expected a dtype such as \"float32\", got \(Decoder.found(value))")
            }
            found = try DType(named: name)
          case "device": try check(value, "to: option 'device'")
          default: throw ArgumentError("to: unknown option '\(key.string ?? Decoder.found(key))' (known: dtype, device)")
          }
        }
      } else {
        throw ArgumentError("to: expected a dtype such as \"float64\", or a tensor, got \(Decoder.found(slot))")
      }
    }
    return found
  }

  private static func isCPU(_ name: String) -> Bool { name == "cpu" || name == "cpu:0" }

  static func refusal(_ name: String, _ place: String) -> ArgumentError {
    ArgumentError("\(place): there is no device \"\(name)\": moongrad runs on the CPU only, so leave it out, or write \"cpu\"")
  }
}
