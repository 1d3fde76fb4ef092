// What the user asked for: the command line, parsed.

/// A call of `moongrad`.
///
/// Parsed by hand, since `lua`'s rules are about order: `-e` and `-l` run in the order given, options end at the
/// script, and everything after it is the script's own, dashes included.
struct Invocation: Equatable {
  enum Step: Equatable {
    /// `-e 'code'`
    case execute(String)
    /// `-l name` and `-l variable=name`
    case require(variable: String, module: String)
  }
  enum Script: Equatable {
    case file(String)
    case standardInput
  }
  enum Action: Equatable {
    case run
    case help
    case version
    /// `doc NAME …`; without names, a list of them.
    case document([String])
  }

  var action = Action.run
  var steps: [Step] = []
  var script: Script?
  /// Where the script stands in the command line: the zero of the table `arg`.
  var scriptIndex = 0
  /// `-i`
  var isInteractive = false
  /// `-v`
  var showsVersion = false
  var seed: Int?
  var threads: Int?
  var isDeterministic = false
  /// `--sandbox`, and the folders that it lends.
  var isSandboxed = false
  var readableFolders: [String] = []
  var writableFolders: [String] = []
  /// `--memory-limit`, in bytes, `--time-limit`, in seconds, `--instruction-limit`.
  var memoryLimit: Int?
  var timeLimit: Double?
  var instructionLimit: Int?
  var allowsBinaryChunks = false

  static let usage = "usage: moongrad [options] [script [arguments]]   (moongrad --help shows more)"

  static let help = """
    usage: moongrad [options] [script [arguments]]
           moongrad doc [name]

    Without a script: a console on a terminal, otherwise the script is read from standard input.

      -e CODE           run CODE
      -l NAME           require NAME, as the global NAME;  -l g=NAME  as the global g
      -i                enter the console after the script
      -v, --version     print the version
      -h, --help        print this
      --seed N          begin the random numbers as mg.manual_seed(N) does
      --threads N       use N threads for long operations
      --deterministic   the same numbers in every run: one thread unless --threads says otherwise,
                        and seed 0 unless --seed says otherwise
      --memory-limit N  end a script whose values and tensors take more than N bytes; 64k, 64M, 2G are understood
      --time-limit S    end it after S seconds, which no pcall catches;  0.5 is half a second
      --instruction-limit N
                        end it after N instructions of Lua
      --sandbox         for scripts that are not trusted: no files, programs, debug library or precompiled code
      --allow-read DIR  lend a sandbox a folder to read in, and for its modules; may be given again
      --allow-write DIR lend a sandbox a folder to read and write in
      --binary-chunks   let load accept precompiled code, which can crash the interpreter
      -                 read the script from standard input
      --                end the options

    Scripts see their arguments as  ...  and in the table  arg.  require looks beside the script first,
    then along LUA_PATH.  Exit status: 0, 1 after an error, 64 for wrong usage, 130 after Ctrl-C.

    """
}

/// Wrong usage, in one sentence.
struct UsageError: Error, Equatable {
  let message: String
}

extension Invocation {
  /// Reads a command line whose first element is the program's name.
  init(_ arguments: [String]) throws(UsageError) {
    scriptIndex = arguments.count
    var index = 1

    /// The value of an option: attached, or the next argument.
    func value(_ option: String, attached: String?, _ what: String) throws(UsageError) -> String {
      if let attached { return attached }
      guard index + 1 < arguments.count else { throw UsageError(message: "'\(option)' needs \(what)") }
      index += 1
      return arguments[index]
    }
    func number(_ option: String, attached: String?, _ what: String, _ range: ClosedRange<Int>) throws(UsageError) -> Int {
      let text = try value(option, attached: attached, what)
      guard let number = Int(text), range.contains(number) else {
        throw UsageError(message: "'\(option)' needs \(what), got '\(text)'")
      }
      return number
    }

    scanning: while index < arguments.count {
      let argument = arguments[index]
      guard argument.hasPrefix("-"), argument != "-" else { break }
      if argument.hasPrefix("--") {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let (name, attached) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : nil)
        switch name {
        case "--seed": seed = try number(name, attached: attached, "a whole number", .min ... .max)
        case "--threads": threads = try number(name, attached: attached, "a count from 1 to 1024", 1...1024)
        case "--memory-limit": memoryLimit = try Self.bytes(value(name, attached: attached, "a number of bytes"), name)
        case "--time-limit":
          let text = try value(name, attached: attached, "a number of seconds")
          guard let seconds = Double(text), seconds > 0, seconds.isFinite else {
            throw UsageError(message: "'\(name)' needs a number of seconds above 0, got '\(text)'")
          }
          timeLimit = seconds
        case "--instruction-limit": instructionLimit = try number(name, attached: attached, "a positive count", 1 ... .max)
        case "--allow-read": readableFolders.append(try value(name, attached: attached, "a folder"))
        case "--allow-write": writableFolders.append(try value(name, attached: attached, "a folder"))
        case "--sandbox" where attached == nil: isSandboxed = true
        case "--binary-chunks" where attached == nil: allowsBinaryChunks = true
        case "--" where attached == nil:
          index += 1
          break scanning
        case "--deterministic" where attached == nil: isDeterministic = true
        case "--version" where attached == nil: action = .version
        case "--help" where attached == nil: action = .help
        case "--deterministic", "--version", "--help", "--sandbox", "--binary-chunks": throw UsageError(message: "'\(name)' takes no value")
        default: throw UsageError(message: "unknown option '\(name)'")
        }
      } else {
        let name = String(argument.prefix(2))
        let attached = argument.count > 2 ? String(argument.dropFirst(2)) : nil
        switch name {
        case "-e": steps.append(.execute(try value(name, attached: attached, "code to run")))
        case "-l":
          let text = try value(name, attached: attached, "the name of a module")
          let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
          guard let first = parts.first, let last = parts.last else {
            throw UsageError(message: "'-l' needs the name of a module")
          }
          steps.append(.require(variable: first, module: last))
        case "-i" where attached == nil: isInteractive = true
        case "-v" where attached == nil: showsVersion = true
        case "-h" where attached == nil: action = .help
        default: throw UsageError(message: "unknown option '\(argument)'")
        }
      }
      index += 1
    }

    if !isSandboxed, !(readableFolders + writableFolders).isEmpty {
      throw UsageError(message: "'--allow-read' and '--allow-write' lend folders to a sandbox; without '--sandbox' scripts have all files")
    }
    if isSandboxed, isInteractive { throw UsageError(message: "'--sandbox' is for scripts, not for the console") }
    guard index < arguments.count, action == .run else { return }
    scriptIndex = index
    if arguments[index] == "doc", arguments[index - 1] != "--" {
      action = .document(Array(arguments[(index + 1)...]))
    } else {
      script = arguments[index] == "-" && arguments[index - 1] != "--" ? .standardInput : .file(arguments[index])
    }
  }

  /// A number of bytes: 65536, 64k, 64M, 2G.
  private static func bytes(_ text: String, _ option: String) throws(UsageError) -> Int {
    let units: [Character: Int] = ["k": 1 << 10, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[$0] }
    if let count = Int(unit == nil ? text : String(text.dropLast())), count > 0 {
      let (bytes, overflow) = count.multipliedReportingOverflow(by: unit ?? 1)
      if !overflow { return bytes }
    }
    throw UsageError(message: "'\(option)' needs a number of bytes such as 64M, got '\(text)'")
  }
}
