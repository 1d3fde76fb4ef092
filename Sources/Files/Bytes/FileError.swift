// What is wrong with a file, in one sentence that begins with its path.

import Glibc
import Tensors

/// A file that cannot be read or written, or that is not what it was taken for.
public struct FileError: Error, CustomStringConvertible, Sendable {
  /// The file; empty for bytes that come from none.
  public let path: String
  /// What is wrong, and where in the file: `"line 3, column 2: 'abc' is no number"`.
  public let problem: String

  /// What is wrong with a file, in a sentence that goes on after its path.
  public init(_ path: String, _ problem: String) {
    self.path = path
    self.problem = problem
  }

  /// What the system said, with the error number of the call that failed: `"cannot read: no such file or directory"`.
  init(_ path: String, _ what: String, system code: Int32) {
    self.init(path, "\(what): \(String(cString: strerror(code)).lowercased())")
  }

  /// The sentence, with the path in front.
  public var description: String { path.isEmpty ? problem : "\(path): \(problem)" }
}

/// The path as the system takes it. Throws where it is none: empty, or with a zero byte in it, after which the system would not read;
/// and where the context in force does not lend the file for that use.
package func checked(path: String, for use: FilePolicy.Use) throws -> String {
  guard !path.isEmpty else { throw FileError("", "the path is empty") }
  guard !path.utf8.contains(0) else { throw FileError("", "the path has a zero byte in it") }
  if let policy = FilePolicy.current, !policy.allows(path, for: use) {
    throw FileError(path, use == .reading ? "this session does not lend it for reading" : "this session does not lend it for writing")
  }
  return path
}
