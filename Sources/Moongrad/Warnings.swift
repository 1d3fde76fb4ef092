// Warnings that nobody asked for.

import Glibc
import LuaRuntime

/// Prints a warning to standard error, after what scripts have printed.
func printWarning(_ message: String) {
  fflush(nil)
  var text = "moongrad: warning: \(message.withoutControls)\n"
  text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
