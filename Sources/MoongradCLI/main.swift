// The command `moongrad`: runs scripts, prints the reference, and talks on a terminal.

import Glibc

let arguments = (0..<Int(CommandLine.argc)).compactMap { index -> [UInt8]? in
  CommandLine.unsafeArgv[index].map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
}
exit(Launcher.run(arguments))
