// Runs the scripts in topics/, each in a fresh session.
import Foundation
import Moongrad
import Testing

/// Where the sources of these tests are, and the checkout that they are in.
enum Place {
  static let tests = URL(filePath: #filePath).deletingLastPathComponent()
  static let checkout = tests.deletingLastPathComponent().deletingLastPathComponent()

  static func scripts(in folder: URL) -> [URL] {
    let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
    return (files ?? []).filter { $0.pathExtension == "lua" }.sorted { $0.path < $1.path }
  }
}

/// Settings are each session's own, so that scripts run side by side.
@Suite struct LuaTests {
  static let topics = Place.scripts(in: Place.tests.appending(path: "topics")).map { $0.deletingPathExtension().lastPathComponent }

  @Test(arguments: topics) func topic(_ name: String) throws {
    let session = try Session()
    do {
      try session.run(file: Place.tests.appending(path: "topics/\(name).lua").path)
    } catch let error as LuaError {
      Issue.record("\(error.message)")
    }
  }

  @Test func everyTopicIsFound() {
    #expect(LuaTests.topics.contains("autograd"))
    #expect(LuaTests.topics.count >= 10)
  }

  /// Scripts can change the metatable that all strings share, so that the library calls the functions of strings as functions.
  @Test func theLibraryCallsNoMethodsOfStrings() throws {
    let files = Place.scripts(in: Place.checkout.appending(path: "Sources/Bindings/Lua"))
    #expect(files.count > 10)
    for file in files {
      let source = try String(contentsOf: file, encoding: .utf8).replacing(/(?s)--\[=\[.*?\n\]=\]/, with: "")
      for line in source.split(separator: "\n") where !line.contains(/^ *--/) {
        #expect(!line.contains(/:(format|find|gmatch|gsub|match|upper|lower|byte)\b/), "\(file.lastPathComponent): \(line)")
      }
    }
  }

  /// Failed cases are told at the end: a topic that does not ask for them would pass whatever it finds.
  @Test(arguments: topics) func topicsTellWhatFailed(_ name: String) throws {
    let source = try String(contentsOf: Place.tests.appending(path: "topics/\(name).lua"), encoding: .utf8)
    #expect(source.trimmingCharacters(in: .whitespacesAndNewlines).hasSuffix("\nreturn check.done()"))
  }
}
