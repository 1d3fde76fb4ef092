import Moongrad
import Glibc
do {
  let session = try Session()
  try session.run(file: CommandLine.arguments[1], arguments: Array(CommandLine.arguments.dropFirst(2)))
} catch let e as LuaError {
  fputs("moongrad: \(e.description)\n", fdopen(2, "w"))
  exit(1)
}
