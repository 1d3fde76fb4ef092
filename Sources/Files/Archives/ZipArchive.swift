// Zip archives, read without trust (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, and zip64 in it).

/// A zip archive: the list of its members, and their bytes.
///
/// Everything that the list says is checked before anything is believed: members that lie over one another, names that lead out of a
/// folder or come twice, sizes that no packing could have, and parts beyond the end are refused, and so are encrypted members.
public final class ZipArchive {
  /// One file of the archive.
  public struct Member: Sendable {
    /// Its name in the archive, with `/` between folders.
    public let name: String
    /// Its bytes when unpacked, and in the archive.
    public let size, packedSize: Int
    /// Where its bytes begin in the archive. A member that is not packed can be read there.
    public let offset: Int
    /// Whether its bytes are packed, and not as they are.
    public let isPacked: Bool
    let checksum: UInt32
  }

  /// The archive's file.
  public let path: String
  /// In the order of the list.
  public let members: [Member]
  private let file: InputFile
  private let places: [String: Int]

  /// Opens an archive and checks its list.
  public init(_ path: String) throws {
    file = try InputFile(path)
    self.path = path
    guard let size = file.size else { throw FileError(path, "an archive is read from a regular file") }
    members = try ZipArchive.members(of: file, size)
    var places: [String: Int] = [:]
    for (place, member) in members.enumerated() {
      guard places.updateValue(place, forKey: member.name) == nil else {
        throw FileError(path, "there are two members called '\(member.name)'")
      }
    }
    self.places = places
  }

  /// The member of that name; nil where there is none.
  public subscript(name: String) -> Member? { places[name].map { members[$0] } }

  /// The bytes of a member, in turn; the last of them are given out only if the checksum is right.
  public func stream(_ member: Member) throws -> any ByteStream { try MemberStream(file, member) }

  /// All bytes of a member.
  public func contents(_ member: Member) throws -> [UInt8] { try stream(member).take(member.size, "its member '\(member.name)'") }

  // MARK: The list

  private static func members(of file: InputFile, _ size: Int) throws -> [Member] {
    let path = file.path
    let (listOffset, listSize, count) = try list(of: file, size)
    guard count <= listSize / 46 else {
      throw FileError(path, "its list of \(listSize) bytes cannot have the \(count) members that it announces")
    }
    let bytes = try file.bytes(at: listOffset, count: listSize)
    return try bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes, path: path)
      var members: [Member] = []
      // Where each begins with its own header, and ends.
      var extents: [(start: Int, end: Int, name: String)] = []
      for number in 0..<count {
        func failure(_ problem: String) -> FileError { FileError(path, "member \(number + 1) of the archive: \(problem)") }
        guard try reader.littleEndian(UInt32.self) == 0x0201_4b50 else { throw failure("there is no entry where the list announces one") }
        _ = try reader.take(4)
        let flags: UInt16 = try reader.littleEndian()
        let method: UInt16 = try reader.littleEndian()
        _ = try reader.take(4)
        let crc: UInt32 = try reader.littleEndian()
        var packedSize = UInt64(try reader.littleEndian(UInt32.self))
        var size = UInt64(try reader.littleEndian(UInt32.self))
        let nameLength = Int(try reader.littleEndian(UInt16.self))
        let extraLength = Int(try reader.littleEndian(UInt16.self))
        let commentLength = Int(try reader.littleEndian(UInt16.self))
        let disk: UInt16 = try reader.littleEndian()
        _ = try reader.take(6)
        var offset = UInt64(try reader.littleEndian(UInt32.self))
        guard let name = String(validating: try reader.take(nameLength), as: UTF8.self) else { throw failure("its name is no UTF-8") }
        var extra = ByteReader(try reader.take(extraLength), path: path)
        _ = try reader.take(commentLength)
        try readLarge(&extra, &size, &packedSize, &offset)

        guard isPlain(name) else { throw failure("its name, '\(name)', leads out of the archive's folder or is none") }
        if name.hasSuffix("/"), size == 0 { continue }
        guard flags & 0x2041 == 0 else { throw FileError(path, "its member '\(name)' is encrypted") }
        guard disk == 0 else { throw FileError(path, "its member '\(name)' is on another disk") }
        guard method == 0 || method == 8 else {
          throw FileError(path, "its member '\(name)' is packed by method \(method); stored (0) and deflated (8) ones are read")
        }
        guard let start = Int(exactly: offset), let packed = Int(exactly: packedSize), let unpacked = Int(exactly: size),
          start <= listOffset - 30, packed <= listOffset - 30 - start
        else { throw FileError(path, "its member '\(name)' of \(packedSize) bytes from byte \(offset) on does not lie before the list") }
        guard method == 8 ? unpacked / greatestRatio <= packed : unpacked == packed else {
          throw FileError(path, "its member '\(name)' cannot have \(unpacked) bytes, unpacked from \(packed)")
        }
        let data = try beginning(of: name, at: start, file)
        guard packed <= listOffset - data else { throw FileError(path, "its member '\(name)' reaches into the list") }
        members.append(Member(name: name, size: unpacked, packedSize: packed, offset: data, isPacked: method == 8, checksum: crc))
        extents.append((start, data + packed, name))
      }
      extents.sort { $0.start < $1.start }
      for (before, after) in zip(extents, extents.dropFirst()) where after.start < before.end {
        throw FileError(path, "its members '\(before.name)' and '\(after.name)' lie over one another")
      }
      return members
    }
  }

  /// Where the bytes behind a member's own header begin.
  private static func beginning(of name: String, at start: Int, _ file: InputFile) throws -> Int {
    try file.bytes(at: start, count: 30).withUnsafeBytes { bytes in
      var header = ByteReader(bytes, path: file.path)
      let signature: UInt32 = try header.littleEndian()
      _ = try header.take(22)
      let nameLength = Int(try header.littleEndian(UInt16.self))
      let extraLength = Int(try header.littleEndian(UInt16.self))
      guard signature == 0x0403_4b50, nameLength == name.utf8.count,
        try file.bytes(at: start + 30, count: nameLength).elementsEqual(name.utf8)
      else { throw FileError(file.path, "byte \(start): the member '\(name)' does not begin where the list says") }
      return start + 30 + nameLength + extraLength
    }
  }

  /// Sizes and places that need more than 32 bits stand in a field of their own, those only and in this order.
  private static func readLarge(_ extra: inout ByteReader, _ size: inout UInt64, _ packedSize: inout UInt64, _ offset: inout UInt64) throws
  {
    let missing = UInt64(UInt32.max)
    while extra.left >= 4 {
      let kind: UInt16 = try extra.littleEndian()
      let length = Int(try extra.littleEndian(UInt16.self))
      // Others' fields are sometimes cut off.
      guard length <= extra.left else { return }
      var field = ByteReader(try extra.take(length), path: extra.path)
      guard kind == 1 else { continue }
      if size == missing { size = try field.littleEndian() }
      if packedSize == missing { packedSize = try field.littleEndian() }
      if offset == missing { offset = try field.littleEndian() }
    }
  }

  /// Whether a name is a path within a folder.
  static func isPlain(_ name: String) -> Bool {
    guard !name.isEmpty, !name.hasPrefix("/"), !name.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "\\") }) else { return false }
    return !name.split(separator: "/").contains("..") && !(name.utf8.count > 1 && Array(name.utf8)[1] == UInt8(ascii: ":"))
  }

  /// Where the list is, its size in bytes, and the number of members.
  private static func list(of file: InputFile, _ size: Int) throws -> (offset: Int, size: Int, count: Int) {
    let path = file.path
    // The archive's end: 22 bytes, and a remark of up to 65535.
    let start = max(0, size - 22 - 65535)
    let tail = try file.bytes(at: start, count: size - start)
    return try tail.withUnsafeBytes { tail in
      var place = tail.count - 22
      while place >= 0 {
        if tail[place] == 0x50, tail.loadUnaligned(fromByteOffset: place, as: UInt32.self).littleEndian == 0x0605_4b50,
          Int(tail.loadUnaligned(fromByteOffset: place + 20, as: UInt16.self).littleEndian) == tail.count - place - 22
        {
          break
        }
        place -= 1
      }
      guard place >= 0 else { throw FileError(path, "is no zip archive: it does not end as one does, or was cut off") }
      var end = ByteReader(tail, path: path, at: place + 4)
      let disks = (try end.littleEndian(UInt16.self), try end.littleEndian(UInt16.self))
      _ = try end.take(2)
      var count = UInt64(try end.littleEndian(UInt16.self))
      var listSize = UInt64(try end.littleEndian(UInt32.self))
      var offset = UInt64(try end.littleEndian(UInt32.self))
      var limit = start + place
      if count == 0xffff || listSize == 0xffff_ffff || offset == 0xffff_ffff {
        guard place >= 20, tail.loadUnaligned(fromByteOffset: place - 20, as: UInt32.self).littleEndian == 0x0706_4b50 else {
          throw FileError(path, "byte \(limit): the archive's larger numbers are missing before its end")
        }
        let at = tail.loadUnaligned(fromByteOffset: place - 12, as: UInt64.self).littleEndian
        guard let at = Int(exactly: at), at <= limit - 20 - 56 else {
          throw FileError(path, "byte \(limit - 20): the archive's second end lies beyond the first")
        }
        limit = at
        try file.bytes(at: at, count: 56).withUnsafeBytes { bytes in
          var large = ByteReader(bytes, path: path)
          guard try large.littleEndian(UInt32.self) == 0x0606_4b50 else {
            throw FileError(path, "byte \(at): the archive's second end is not here")
          }
          _ = try large.take(28)
          count = try large.littleEndian()
          listSize = try large.littleEndian()
          offset = try large.littleEndian()
        }
      }
      guard disks == (0, 0) || disks == (0xffff, 0xffff) else { throw FileError(path, "is one part of an archive in several") }
      guard let offset = Int(exactly: offset), let listSize = Int(exactly: listSize), let count = Int(exactly: count), offset <= limit,
        listSize <= limit - offset
      else { throw FileError(path, "the archive's list of \(listSize) bytes from byte \(offset) on does not lie before its end") }
      return (offset, listSize, count)
    }
  }
}

/// The bytes of a member, unpacked, with their checksum.
private final class MemberStream: ByteStream {
  private let file: InputFile
  private let member: ZipArchive.Member
  private let inflater: Inflater?
  private var packed: UnsafeMutableRawBufferPointer
  private var place = 0, filled = 0
  /// How many of the archive's bytes were read, and of the member's given out.
  private var taken = 0, given = 0
  private var sum: UInt32 = 0
  var path: String { file.path }
  var most: Int? { member.size }

  init(_ file: InputFile, _ member: ZipArchive.Member) throws {
    self.file = file
    self.member = member
    inflater = member.isPacked ? try Inflater(.plain, path: file.path) : nil
    packed = .allocate(byteCount: member.isPacked ? 1 << 17 : 0, alignment: 16)
  }

  deinit { packed.deallocate() }

  private func failure(_ problem: String) -> FileError { FileError(path, "its member '\(member.name)' \(problem)") }

  func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    let wanted = min(target.count, member.size - given)
    let target = UnsafeMutableRawBufferPointer(rebasing: target[..<wanted])
    if let inflater {
      try unpack(inflater, into: target)
    } else if try file.read(at: member.offset + given, into: target) != wanted {
      throw failure("is cut off")
    }
    guard wanted > 0 else { return 0 }
    // While the bytes are in the caches.
    sum = checksum(UnsafeRawBufferPointer(target), after: sum)
    given += wanted
    if given == member.size {
      if let inflater { try checkEnd(inflater) }
      guard sum == member.checksum else {
        throw failure("is damaged: its checksum is \(hexadecimal(sum)) and not \(hexadecimal(member.checksum))")
      }
    }
    return wanted
  }

  private func fill() throws -> Bool {
    if place < filled { return true }
    place = 0
    let count = min(packed.count, member.packedSize - taken)
    filled = try file.read(at: member.offset + taken, into: UnsafeMutableRawBufferPointer(rebasing: packed[..<count]))
    taken += filled
    return filled > 0
  }

  private func step(_ inflater: Inflater, into target: UnsafeMutableRawBufferPointer) throws -> Int {
    do {
      let step = try inflater.step(UnsafeRawBufferPointer(rebasing: packed[place..<filled]), into: target)
      place += step.read
      return step.written
    } catch let error as FileError { throw failure("cannot be unpacked: \(error.problem)") }
  }

  private func unpack(_ inflater: Inflater, into target: UnsafeMutableRawBufferPointer) throws {
    var written = 0
    while written < target.count {
      // What was taken in may not have come out whole.
      let hasMore = try fill()
      let count = inflater.hasEnded ? 0 : try step(inflater, into: UnsafeMutableRawBufferPointer(rebasing: target[written...]))
      written += count
      guard count > 0 || (hasMore && !inflater.hasEnded) else {
        throw failure("has fewer bytes than the \(member.size) announced")
      }
    }
  }

  /// There must be no more than was announced.
  private func checkEnd(_ inflater: Inflater) throws {
    try withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { room in
      while !inflater.hasEnded {
        let hasMore = try fill()
        guard try step(inflater, into: room) == 0 else { throw failure("has more bytes than the \(member.size) announced") }
        guard hasMore || inflater.hasEnded else { throw failure("is cut off") }
      }
    }
  }
}

private func hexadecimal(_ number: UInt32) -> String {
  let digits = String(number, radix: 16)
  return String(repeating: "0", count: 8 - digits.count) + digits
}
