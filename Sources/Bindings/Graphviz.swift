// Graphviz' program `dot`, which draws graphs: started directly, without a shell between, and never waited for without end.

@preconcurrency import Glibc  // for environ, which C declares as a variable
import LuaRuntime
import Tensors

enum Graphviz {
  /// How long a drawing may take, in seconds.
  private static let patience = 60

  static var primitives: [String: NativeFunction] {
    [
      // draw_svg(dot): the picture of a graph in graphviz' language, drawn by `dot`.
      "draw_svg": native("draw_svg") { call in
        try svg(call[1].bytes ?? [], while: call.goesOn).withUnsafeBytes { call.returns(bytes: $0) }
      }
    ]
  }

  private static func svg(_ text: [UInt8], while goesOn: () throws -> Void) throws -> [UInt8] {
    // Files rather than pipes for what goes in and for complaints: nobody need be read or written to in time.
    guard let input = tmpfile(), let complaints = tmpfile() else { throw failure("no temporary file could be made") }
    defer {
      fclose(input)
      fclose(complaints)
    }
    guard fwrite(text, 1, text.count, input) == text.count, fflush(input) == 0, lseek(fileno(input), 0, SEEK_SET) == 0 else {
      throw failure("the temporary file could not be written")
    }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw failure(String(cString: strerror(errno)).lowercased()) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let output = ends[0]
    defer { close(output) }
    let child: pid_t
    do {
      defer { close(ends[1]) }
      child = try start(input: fileno(input), output: ends[1], errors: fileno(complaints))
    }
    do {
      let end = ContinuousClock.now + .seconds(patience)
      func goesOnInTime() throws {
        try goesOn()
        if ContinuousClock.now >= end { throw failure("its program 'dot' had not finished after \(patience) seconds") }
      }
      let picture = try read(output, while: goesOnInTime)
      var status: Int32 = 0
      while waitpid(child, &status, WNOHANG) == 0 {
        try goesOnInTime()
        usleep(2000)
      }
      guard status == 0, !picture.isEmpty else {
        lseek(fileno(complaints), 0, SEEK_SET)
        var buffer = [UInt8](repeating: 0, count: 400)
        let count = Glibc.read(fileno(complaints), &buffer, buffer.count)
        let said = String(decoding: buffer[..<max(0, count)], as: UTF8.self).split(separator: "\n").first
        throw failure(said.map { "its program 'dot' said: \($0)" } ?? "its program 'dot' failed")
      }
      return picture
    } catch {
      // Where it was waited for already, it may not be there any more, but no other has its number: nothing was started since.
      var status: Int32 = 0
      if waitpid(child, &status, WNOHANG) == 0 {
        kill(child, SIGKILL)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
      }
      throw error
    }
  }

  /// Starts `dot -Tsvg` with those as its standard streams.
  private static func start(input: Int32, output: Int32, errors: Int32) throws -> pid_t {
    var files = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&files)
    defer { posix_spawn_file_actions_destroy(&files) }
    for (number, descriptor) in [input, output, errors].enumerated() {
      posix_spawn_file_actions_adddup2(&files, descriptor, Int32(number))
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Signals as in a new program, whatever this thread blocks.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("dot"), strdup("-Tsvg"), nil]
    defer { for argument in arguments { free(argument) } }
    var child: pid_t = 0
    let code = posix_spawnp(&child, "dot", &files, &attributes, arguments, environ)
    if code == ENOENT { throw failure("its program 'dot' is not installed") }
    guard code == 0 else { throw failure("its program 'dot' could not be started: \(String(cString: strerror(code)).lowercased())") }
    return child
  }

  /// What comes until the other end is closed.
  private static func read(_ descriptor: Int32, while goesOn: () throws -> Void) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      try goesOn()
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      if poll(&waiting, 1, 50) <= 0 { continue }
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count > 0 { bytes.append(contentsOf: chunk[..<count]) }
      if count == 0 { return bytes }
      if count < 0, errno != EINTR { throw failure(String(cString: strerror(errno)).lowercased()) }
    }
  }

  private static func failure(_ reason: String) -> ArgumentError {
    ArgumentError("graph: drawing an SVG needs graphviz: \(reason); format = \"dot\" needs nothing")
  }
}
