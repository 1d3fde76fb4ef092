// Zip archives, written: members one after another, and their list. Numbers of more than 32 bits are written as zip64 has them.

/// An archive that is being written.
public final class ZipWriter {
  private let file: OutputFile
  private var list: [UInt8] = []
  private var names: Set<String> = []

  /// Begins an archive; see ``OutputFile``.
  public init(_ path: String, isSynced: Bool = true) throws { file = try OutputFile(path, isSynced: isSynced) }

  /// Adds a member of those bytes, which are packed where that is asked for.
  public func add(_ name: String, _ pieces: [UnsafeRawBufferPointer], packed: Bool = false) throws {
    guard ZipArchive.isPlain(name), name.utf8.count < 65536 else {
      throw FileError(file.path, "'\(name)' cannot be the name of a member: it leads out of the archive's folder, is empty or too long")
    }
    guard names.insert(name).inserted else { throw FileError(file.path, "there would be two members called '\(name)'") }
    let size = pieces.reduce(0) { $0 + $1.count }
    let sum = pieces.reduce(UInt32(0)) { checksum($1, after: $0) }
    guard packed else { return try add(name, pieces, size: size, packedSize: size, sum, method: 0) }
    let bytes = try deflated(pieces)
    try bytes.withUnsafeBytes { try add(name, [$0], size: size, packedSize: bytes.count, sum, method: 8) }
  }

  private func add(
    _ name: String, _ pieces: [UnsafeRawBufferPointer], size: Int, packedSize: Int, _ sum: UInt32, method: UInt16
  ) throws {
    let offset = file.count
    let most = Int(UInt32.max)
    let isLarge = size >= most || packedSize >= most
    // 4.5 is the version that has large numbers, 2.0 that which packs. The date is the first that there is, so that the same
    // members make the same file. Bit 11 says that names are UTF-8.
    func facts(_ bytes: inout [UInt8], extra: Int) {
      append(UInt16(isLarge || offset >= most ? 45 : 20), to: &bytes)
      append(UInt16(1 << 11), to: &bytes)
      append(method, to: &bytes)
      append(UInt32(0x0021_0000), to: &bytes)
      append(sum, to: &bytes)
      append(isLarge ? UInt32.max : UInt32(packedSize), to: &bytes)
      append(isLarge ? UInt32.max : UInt32(size), to: &bytes)
      append(UInt16(name.utf8.count), to: &bytes)
      append(UInt16(extra), to: &bytes)
    }
    var sizes: [UInt8] = []
    if isLarge {
      append(UInt64(size), to: &sizes)
      append(UInt64(packedSize), to: &sizes)
    }
    func large(_ field: [UInt8]) -> [UInt8] {
      guard !field.isEmpty else { return [] }
      var bytes: [UInt8] = [1, 0]
      append(UInt16(field.count), to: &bytes)
      return bytes + field
    }

    var header: [UInt8] = []
    append(UInt32(0x0403_4b50), to: &header)
    facts(&header, extra: large(sizes).count)
    header += Array(name.utf8) + large(sizes)
    try file.write(header)
    for piece in pieces { try file.write(piece) }

    if offset >= most { append(UInt64(offset), to: &sizes) }
    append(UInt32(0x0201_4b50), to: &list)
    append(UInt16(3 << 8 | 45), to: &list)
    facts(&list, extra: large(sizes).count)
    // No remark, the first disk, no attributes but those of a file that its owner may read and write.
    append(UInt16(0), to: &list)
    append(UInt32(0), to: &list)
    append(UInt32(0o100_600) << 16, to: &list)
    append(offset >= most ? UInt32.max : UInt32(offset), to: &list)
    list += Array(name.utf8) + large(sizes)
  }

  /// Writes the list and puts the archive into its place.
  public func finish() throws {
    let offset = file.count
    try file.write(list)
    var end: [UInt8] = []
    if names.count >= 0xffff || offset >= Int(UInt32.max) || list.count >= Int(UInt32.max) {
      let place = file.count
      append(UInt32(0x0606_4b50), to: &end)
      append(UInt64(44), to: &end)
      append(UInt16(3 << 8 | 45), to: &end)
      append(UInt16(45), to: &end)
      append(UInt64(0), to: &end)
      append(UInt64(names.count), to: &end)
      append(UInt64(names.count), to: &end)
      append(UInt64(list.count), to: &end)
      append(UInt64(offset), to: &end)
      append(UInt32(0x0706_4b50), to: &end)
      append(UInt32(0), to: &end)
      append(UInt64(place), to: &end)
      append(UInt32(1), to: &end)
    }
    append(UInt32(0x0605_4b50), to: &end)
    append(UInt32(0), to: &end)
    append(UInt16(min(names.count, 0xffff)), to: &end)
    append(UInt16(min(names.count, 0xffff)), to: &end)
    append(UInt32(min(list.count, Int(UInt32.max))), to: &end)
    append(UInt32(min(offset, Int(UInt32.max))), to: &end)
    append(UInt16(0), to: &end)
    try file.write(end)
    try file.finish()
  }
}

/// Adds a whole number, the byte of least weight first.
private func append(_ number: some FixedWidthInteger, to bytes: inout [UInt8]) {
  withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
}
