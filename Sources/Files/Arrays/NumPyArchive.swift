// NumPy's file of several arrays, `.npz`: a zip archive of .npy files.

import Tensors

/// The arrays of a .npz file, by name, each read when it is asked for.
public final class NumPyArchive {
  private let archive: ZipArchive
  /// In the order of the file, without `.npy`.
  public let names: [String]

  /// Opens a file and checks its list of arrays.
  public init(_ path: String) throws {
    archive = try ZipArchive(path)
    names = archive.members.map(\.name).filter { $0.hasSuffix(".npy") }.map { String($0.dropLast(4)) }
  }

  /// An array; nil where there is none of that name. Its checksum is verified.
  public func array(_ name: String, while goesOn: () throws -> Void = {}) throws -> Tensor? {
    guard let member = archive[name + ".npy"] else { return nil }
    do {
      return try NumPyFile.read(archive.stream(member), size: member.size, while: goesOn)
    } catch let error as FileError where !error.problem.hasPrefix("its member") {
      throw FileError(error.path, "its member '\(member.name)': \(error.problem)")
    }
  }

  /// Writes a file that `numpy.load` reads; packed as by `numpy.savez_compressed`, or as the arrays are.
  public static func write(_ arrays: [(name: String, tensor: Tensor)], to path: String, compressed: Bool = false, isSynced: Bool = true)
    throws
  {
    let writer = try ZipWriter(path, isSynced: isSynced)
    for (name, tensor) in arrays {
      try NumPyFile.withPieces(of: tensor, for: "save_npz") { try writer.add(name + ".npy", [$0, $1], packed: compressed) }
    }
    try writer.finish()
  }
}
