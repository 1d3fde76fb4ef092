// Launches of convolutions: of float32 by oneDNN, of everything else by columns and products.

import CKernels
import Glibc

/// The three tensors of a convolution, contiguous: images, weights and what becomes of them; one of them is written.
struct ConvolutionOperands {
  let image, weight, output: UnsafeMutableRawPointer
  /// One for each channel of the output.
  var bias: UnsafeMutableRawPointer?
}

extension Kernels {
  /// Up to so many multiplications and additions a product is made sooner than oneDNN is called.
  private static let tiny = 20_000

  /// Computes one of a convolution's three tensors of the others. Whole numbers take no bias.
  static func convolution(_ role: ConvolutionRole, _ dtype: DType, _ sizes: ConvolutionSizes, _ given: ConvolutionOperands) throws {
    let windows = sizes.windows
    let images = sizes.batch * sizes.inputs * windows.inside
    let outputs = sizes.batch * sizes.outputs * windows.places
    func operand(_ pointer: UnsafeMutableRawPointer, _ count: Int, _ own: ConvolutionRole) -> Launch.Operand {
      role == own ? .write(pointer, dtype, count) : .read(pointer, dtype, count)
    }
    try windows.plain.withUnsafeBytes { plain in
      var call = Launch(
        .convolution, row: UInt32(role.rawValue), dtype, operand(given.image, images, .input),
        operand(given.weight, sizes.weights, .weight),
        given.bias.map { .read($0, dtype, sizes.outputs) }, operand(given.output, outputs, .output),
        .read(plain.baseAddress, .int64, plain.count / 8))
      call.sizes = (sizes.batch, sizes.groups, sizes.inputs, sizes.outputs)
      try launch(call) { call in
        guard let image = call.a?.pointer, let weight = call.b?.pointer, let output = call.d?.pointer else { return }
        let operands = ConvolutionOperands(image: image, weight: weight, output: output, bias: call.c?.pointer)
        if call.dtype == .float32, sizes.operations > tiny, try SharedConvolution.run(role, sizes, operands) { return }
        try ColumnConvolution(sizes: sizes, dtype: call.dtype, operands: operands).run(role)
      }
    }
  }
}

// MARK: By columns

/// A convolution as products with columns, image by image and group by group.
private struct ColumnConvolution {
  let sizes: ConvolutionSizes
  let dtype: DType
  let operands: ConvolutionOperands

  private var windows: Windows { sizes.windows }
  private var inputs: Int { sizes.inputs / sizes.groups }
  private var outputs: Int { sizes.outputs / sizes.groups }
  private var rows: Int { inputs * windows.taps }
  /// Windows of one tap that lie side by side are columns already.
  private var isPlain: Bool { windows.taps == 1 && windows.output == windows.input && windows.padding.allSatisfy { $0 == 0 } }

  private func weight(_ group: Int) -> UnsafeMutableRawPointer { operands.weight + group * outputs * rows * dtype.size }
  private func image(_ number: Int, _ group: Int) -> UnsafeMutableRawPointer {
    operands.image + (number * sizes.inputs + group * inputs) * windows.inside * dtype.size
  }
  private func output(_ number: Int, _ group: Int) -> UnsafeMutableRawPointer {
    operands.output + (number * sizes.outputs + group * outputs) * windows.places * dtype.size
  }

  private func matrix(_ pointer: UnsafeMutableRawPointer, _ columns: Int, transposed: Bool = false) -> Kernels.Matrix {
    Kernels.Matrix(pointer: pointer, leading: Swift.max(columns, 1), transposed: transposed)
  }

  func run(_ role: ConvolutionRole) throws {
    let places = windows.places
    let account = Context.current
    let (roomBytes, partBytes) = (
      rows * places * dtype.size, adds(role) && !dtype.isFloating ? outputs * Swift.max(rows, places) * dtype.size : 0
    )
    let room = isPlain ? nil : try account.pointee.memory.lend(roomBytes)
    defer { if let room { account.pointee.memory.free(room, roomBytes) } }
    let part = try account.pointee.memory.lend(partBytes)
    defer { account.pointee.memory.free(part, partBytes) }
    if role == .weight { memset(operands.weight, 0, sizes.weights * dtype.size) }
    for number in 0..<sizes.batch {
      for group in 0..<sizes.groups {
        let (x, y) = (image(number, group), output(number, group))
        switch role {
        case .output:
          if let room { try Kernels.columns(dtype, windows, channels: inputs, x, into: room) }
          if let bias = operands.bias {
            for channel in 0..<outputs {
              let at = bias + (group * outputs + channel) * dtype.size
              try Kernels.fill(dtype, places, at, into: y + channel * places * dtype.size)
            }
          }
          try product(outputs, places, rows, matrix(weight(group), rows), matrix(room ?? x, places), adds(role), part, into: y)
        case .input:
          try product(
            rows, places, outputs, matrix(weight(group), rows, transposed: true), matrix(y, places), false, part, into: room ?? x)
          if let room { try Kernels.addColumns(dtype, windows, channels: inputs, room, into: x) }
        case .weight:
          if let room { try Kernels.columns(dtype, windows, channels: inputs, x, into: room) }
          try product(
            outputs, rows, places, matrix(y, places), matrix(room ?? x, places, transposed: true), true, part, into: weight(group))
        }
      }
    }
  }

  /// Whether products are added to what is there.
  private func adds(_ role: ConvolutionRole) -> Bool { role == .weight || role == .output && operands.bias != nil }

  /// A product, added to what is there; that of whole numbers by way of `part`.
  private func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: Kernels.Matrix, _ b: Kernels.Matrix, _ adds: Bool, _ part: UnsafeMutableRawPointer,
    into c: UnsafeMutableRawPointer
  ) throws {
    guard adds, !dtype.isFloating else { return try Kernels.product(dtype, m, n, k, a, b, accumulate: adds, into: c) }
    try Kernels.product(dtype, m, n, k, a, b, into: part)
    try Kernels.binary(MG_ADD, dtype, m * n, c, part, into: c)
  }
}
