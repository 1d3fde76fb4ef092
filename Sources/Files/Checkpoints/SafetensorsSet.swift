// Tensors in several files: an index says which file has which, so that no file is too large to move.

import Tensors

/// Tensors by name in one `.safetensors` file, or in all that an index `….safetensors.index.json` names.
public final class SafetensorsSet {
  /// The path that it was opened by: the one file, or the index.
  public let path: String
  /// The names, sorted.
  public let names: [String]
  /// The texts beside the tensors; of several files, the first's, and those of the index that are texts.
  public let metadata: [(name: String, text: String)]
  private let files: [SafetensorsFile]
  /// Which of the files has a tensor.
  private let places: [String: Int]

  /// An index larger than this is none.
  private static let longestIndex = 100_000_000

  /// Opens a file, or an index and all files that it names, and reads their headers; an index is told by its name's end, `.json`.
  /// Where `isMapped`, tensors show the files' bytes, see ``SafetensorsFile/init(_:isMapped:)``.
  public init(_ path: String, isMapped: Bool = false) throws {
    self.path = path
    guard path.hasSuffix(".json") else {
      let file = try SafetensorsFile(path, isMapped: isMapped)
      (files, metadata) = ([file], file.metadata)
      places = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, 0) })
      names = places.keys.sorted()
      return
    }
    let text = try InputFile(path).contents(most: Self.longestIndex)
    let index = try text.withUnsafeBytes { try JSON($0, path: path) }
    guard case .object(let map)? = index["weight_map"] else { throw FileError(path, "has no object \"weight_map\"") }
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    var files: [SafetensorsFile] = []
    var places: [String: Int] = [:]
    var known: [String: Int] = [:]
    for entry in map {
      guard case .string(let name) = entry.value else {
        throw FileError(path, "weight_map: the file of \"\(entry.name)\" is not a string but \(entry.value.kindName)")
      }
      // A file that came from elsewhere must not make others be read than those that came with it.
      guard !name.isEmpty, !name.utf8.contains(0), !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
        throw FileError(path, "weight_map: \"\(name)\", the file of \"\(entry.name)\", is no name of a file beside the index")
      }
      let place: Int
      if let found = known[name] {
        place = found
      } else {
        files.append(try SafetensorsFile(folder + name, isMapped: isMapped))
        place = files.count - 1
        known[name] = place
      }
      guard files[place].entry(named: entry.name) != nil else {
        throw FileError(path, "weight_map: \(name) has no tensor \"\(entry.name)\"")
      }
      places[entry.name] = place
    }
    self.files = files
    self.places = places
    names = places.keys.sorted()
    var metadata = files.first?.metadata ?? []
    if case .object(let members)? = index["metadata"] {
      for case let member in members where !metadata.contains(where: { $0.name == member.name }) {
        if case .string(let text) = member.value { metadata.append((member.name, text)) }
      }
    }
    self.metadata = metadata
  }

  /// What a header says of a tensor; nil where none has the name.
  public func entry(named name: String) -> SafetensorsFile.Entry? { places[name].flatMap { files[$0].entry(named: name) } }

  /// Reads a tensor. Throws where none has the name.
  public func tensor(named name: String) throws -> Tensor {
    guard let place = places[name] else { throw FileError(path, "there is no tensor \"\(name)\"") }
    return try files[place].tensor(named: name)
  }

  /// All tensors by name.
  public func tensors() throws -> [(name: String, tensor: Tensor)] { try names.map { ($0, try tensor(named: $0)) } }

  /// Writes tensors to `path`, which ends in `.safetensors`; where they take more than `shardSize` bytes, to several files, no larger
  /// than that unless one tensor is, called `…-00001-of-00003.safetensors`, and an index of them, `….safetensors.index.json`, which
  /// comes last. Returns the path to be read.
  @discardableResult
  public static func write(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [(name: String, text: String)] = [], to path: String, shardSize: Int,
    isSynced: Bool = true
  ) throws -> String {
    let ending = ".safetensors"
    guard shardSize > 0 else { throw FileError(path, "files of at most \(shardSize) bytes hold nothing") }
    guard path.hasSuffix(ending) else { throw FileError(path, "the name of a file that may become several must end in \(ending)") }
    var shards: [[(name: String, tensor: Tensor)]] = []
    var (filled, total) = (0, 0)
    for entry in tensors.sorted(by: { $0.name < $1.name }) {
      let size = entry.tensor.count * entry.tensor.dtype.size
      if shards.isEmpty || filled + size > shardSize && filled > 0 {
        shards.append([])
        filled = 0
      }
      shards[shards.count - 1].append(entry)
      filled += size
      total += size
    }
    guard shards.count > 1 else {
      try SafetensorsFile.write(tensors, metadata: metadata, to: path, isSynced: isSynced)
      return path
    }
    let stem = String(path.dropLast(ending.count))
    func digits(_ number: Int) -> String { String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number) }
    var map: [JSON.Member] = []
    // All are written before the first takes its place: what fails leaves an older set as it was.
    var files: [OutputFile] = []
    for (position, shard) in shards.enumerated() {
      let file = "\(stem)-\(digits(position + 1))-of-\(digits(shards.count))\(ending)"
      files.append(try SafetensorsFile.written(shard, metadata: metadata, to: file, isSynced: isSynced))
      let name = file.lastIndex(of: "/").map { String(file[file.index(after: $0)...]) } ?? file
      map += shard.map { JSON.Member($0.name, .string(name)) }
    }
    guard Set(map.map(\.name)).count == map.count else { throw FileError(path, "two tensors have one name") }
    let index = JSON.object([
      JSON.Member("metadata", .object([JSON.Member("total_size", .integer(total))])),
      JSON.Member("weight_map", .object(map.sorted { $0.name < $1.name })),
    ])
    let place = path + ".index.json"
    let listing = try OutputFile(place, isSynced: isSynced)
    try listing.write(Array("\(index)\n".utf8))
    for file in files + [listing] { try file.finish() }
    return place
  }
}
