// The archive that torch.save writes: a zip file whose members are stored as they are, so that elements are read from where they lie.
// Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT

/// The members of such an archive. Sizes and places are looked at before anything is read by them.
struct TorchArchive {
  /// A member's bytes in the file.
  struct Member {
    let name: String
    /// Where its own header is, and how many bytes of its own follow that.
    let header, size: Int
  }

  let file: InputFile
  /// By what stands behind the first `/` of their names, as in `data/0`; before it is the archive's name, the same for all.
  private(set) var members: [String: Member] = [:]
  /// Where the list of members begins, before which all of them lie.
  private let end: Int

  private static let endSize = 22
  private static let entrySize = 46
  private static let headerSize = 30

  /// Reads the list of members. Throws for what is no zip file, and where a member is compressed, encrypted or not within the file.
  init(_ path: String) throws {
    file = try InputFile(path)
    guard let size = file.size else { throw FileError(path, "is no regular file, and only those can be read by parts") }
    let start = try file.bytes(upTo: 64)
    // What torch.save wrote before it wrote archives begins with a pickle of a number, 0x1950a86a20f9469cfc6c.
    if start.starts(with: [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46]) {
      throw FileError(path, "is of the format before PyTorch 1.6; load it in PyTorch and save it again")
    }
    guard start.starts(with: [0x50, 0x4b, 3, 4]) else {
      throw FileError(path, "byte 0: is no zip archive, which is what torch.save writes")
    }
    let (directory, count) = try TorchArchive.directory(file, size)
    end = directory.lowerBound
    try readMembers(try file.bytes(at: directory.lowerBound, count: directory.count), count, at: directory.lowerBound)
  }

  /// Where the list of members lies, and how many there are.
  private static func directory(_ file: InputFile, _ size: Int) throws -> (Range<Int>, Int) {
    // The end of the archive may be followed by a comment.
    let tail = try file.bytes(at: max(0, size - endSize - 0xffff), count: min(size, endSize + 0xffff))
    let base = size - tail.count
    guard
      let place = stride(from: tail.count - endSize, through: 0, by: -1).first(where: {
        tail[$0] == 0x50 && tail[$0 + 1] == 0x4b && tail[$0 + 2] == 5 && tail[$0 + 3] == 6
      })
    else { throw FileError(file.path, "has no end of a zip archive: it is cut off, or none") }
    return try tail.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes, path: file.path, at: place + 10)
      var (count, length, start) = (Int(try reader.littleEndian(UInt16.self)), Int(try reader.littleEndian(UInt32.self)), 0)
      start = Int(try reader.littleEndian(UInt32.self))
      var limit = base + place
      // Archives of more than 4 GB have another end before this one, and before this one its place.
      if place >= 20, count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff, bytes[place - 20] == 0x50,
        bytes[place - 19] == 0x4b,
        bytes[place - 18] == 6, bytes[place - 17] == 7
      {
        var locator = ByteReader(bytes, path: file.path, at: place - 12)
        let offset = try number(try locator.littleEndian(UInt64.self), file.path, "the end of the archive")
        try file.requirePart(at: offset, count: 56, of: size)
        let larger = try file.bytes(at: offset, count: 56)
        guard larger.starts(with: [0x50, 0x4b, 6, 6]) else { throw FileError(file.path, "byte \(offset): no end of a large zip archive") }
        (count, length, start) = try larger.withUnsafeBytes { bytes in
          var reader = ByteReader(bytes, path: file.path, at: 32)
          let count = try number(try reader.littleEndian(UInt64.self), file.path, "the count of members")
          let length = try number(try reader.littleEndian(UInt64.self), file.path, "the list of members")
          return (count, length, try number(try reader.littleEndian(UInt64.self), file.path, "the list of members"))
        }
        limit = offset
      }
      guard start <= limit, length <= limit - start, count <= length / entrySize else {
        throw FileError(file.path, "byte \(limit): a list of \(count) members and \(length) bytes at byte \(start) cannot be in the file")
      }
      return (start..<start + length, count)
    }
  }

  /// A number that may be no place in any file.
  private static func number(_ value: UInt64, _ path: String, _ what: String) throws -> Int {
    guard let number = Int(exactly: value), number < 1 << 62 else { throw FileError(path, "\(what): \(value) is beyond the file") }
    return number
  }

  private mutating func readMembers(_ list: [UInt8], _ count: Int, at start: Int) throws {
    let path = file.path
    var found: [String: Member] = [:]
    try list.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes, path: path)
      for number in 0..<count {
        let place = start + reader.position
        func failure(_ problem: String) -> FileError { FileError(path, "byte \(place): member \(number) of the archive \(problem)") }
        guard try reader.littleEndian(UInt32.self) == 0x0201_4b50 else { throw failure("is none") }
        _ = try reader.take(4)
        let (flags, method) = (try reader.littleEndian(UInt16.self), try reader.littleEndian(UInt16.self))
        _ = try reader.take(8)
        var stored = UInt64(try reader.littleEndian(UInt32.self))
        var size = UInt64(try reader.littleEndian(UInt32.self))
        let lengths = (try reader.littleEndian(UInt16.self), try reader.littleEndian(UInt16.self), try reader.littleEndian(UInt16.self))
        _ = try reader.take(8)
        var header = UInt64(try reader.littleEndian(UInt32.self))
        let name = try reader.text(Int(lengths.0))
        var extra = ByteReader(try reader.take(Int(lengths.1)), path: path)
        _ = try reader.take(Int(lengths.2))
        // Numbers of more than 32 bits.
        while extra.left >= 4 {
          let (kind, length) = (try extra.littleEndian(UInt16.self), Int(try extra.littleEndian(UInt16.self)))
          var part = ByteReader(try extra.take(length), path: path)
          guard kind == 1 else { continue }
          if size == 0xffff_ffff { size = try part.littleEndian() }
          if stored == 0xffff_ffff { stored = try part.littleEndian() }
          if header == 0xffff_ffff { header = try part.littleEndian() }
        }
        guard flags & 1 == 0 else { throw failure("is encrypted") }
        guard method == 0, stored == size else { throw failure("is compressed, which torch.save does not do") }
        guard header <= UInt64(end), size <= UInt64(end) - header else {
          throw failure("has \(size) bytes from byte \(header) on, which are not in the file")
        }
        guard let slash = name.firstIndex(of: "/") else { throw failure("has the name \"\(name.prefix(80))\", without a folder") }
        let member = Member(name: name, header: Int(header), size: Int(size))
        guard found.updateValue(member, forKey: String(name[name.index(after: slash)...])) == nil else {
          throw failure("has the name of another, \"\(name.prefix(80))\"")
        }
      }
    }
    members = found
    // Members that share bytes would let a small file fill the memory.
    var last: Member?
    for member in found.values.sorted(by: { $0.header < $1.header }) {
      if let last, member.header - last.header < Self.headerSize + last.size {
        throw FileError(path, "byte \(member.header): \"\(member.name.prefix(80))\" overlaps with \"\(last.name.prefix(80))\"")
      }
      last = member
    }
  }

  /// Where a member's bytes begin.
  func start(of member: Member) throws -> Int {
    let path = file.path
    let header = try file.bytes(at: member.header, count: Self.headerSize)
    guard header.starts(with: [0x50, 0x4b, 3, 4]) else {
      throw FileError(path, "byte \(member.header): no member of the archive begins here")
    }
    let start = member.header + Self.headerSize + Int(header[26]) + Int(header[27]) << 8 + Int(header[28]) + Int(header[29]) << 8
    guard start <= end, member.size <= end - start else {
      throw FileError(path, "byte \(member.header): the \(member.size) bytes of \"\(member.name.prefix(80))\" are not in the file")
    }
    return start
  }

  /// All bytes of a member. Throws where there is none of that name.
  func bytes(_ name: String) throws -> [UInt8] {
    guard let member = members[name] else { throw FileError(file.path, "the archive has no member \"\(name)\"") }
    return try file.bytes(at: try start(of: member), count: member.size)
  }
}
