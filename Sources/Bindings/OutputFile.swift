// Writing a file so that a failure leaves what was there.

import Glibc
import LuaRuntime

enum OutputFile {
  /// Writes a file of those bytes, one piece after another. What exists as a regular file, behind symbolic links or not, is replaced when the new one is whole; a
  /// device or a pipe is written to.
  static func write(_ pieces: [UnsafeRawBufferPointer], to path: String, _ name: String) throws {
    func failure(_ code: Int32) -> ArgumentError {
      ArgumentError("\(name): cannot write \(path): \(String(cString: strerror(code)).lowercased())")
    }
    guard !path.isEmpty, !path.utf8.contains(0) else { throw ArgumentError("\(name): the path is empty or has a zero byte in it") }

    var target = path
    if let real = realpath(path, nil) {
      target = String(cString: real)
      free(real)
    }
    var facts = stat()
    let exists = stat(target, &facts) == 0
    let isRegular = !exists || facts.st_mode & S_IFMT == S_IFREG
    // In the same folder, so that the renaming is within one file system.
    let written = isRegular ? target + ".part-\(getpid())" : target
    let descriptor = open(written, O_WRONLY | O_CLOEXEC | (isRegular ? O_CREAT | O_TRUNC : 0), exists ? facts.st_mode & 0o7777 : 0o666)
    guard descriptor >= 0 else { throw failure(errno) }
    var code: Int32 = 0
    for bytes in pieces {
      var offset = 0
      while offset < bytes.count, code == 0 {
        let count = Glibc.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
        if count > 0 { offset += count } else if count == 0 { code = EIO } else if errno != EINTR { code = errno }
      }
    }
    if close(descriptor) != 0, code == 0 { code = errno }
    if code == 0, isRegular, rename(written, target) != 0 { code = errno }
    guard code == 0 else {
      if isRegular { unlink(written) }
      throw failure(code)
    }
  }
}
