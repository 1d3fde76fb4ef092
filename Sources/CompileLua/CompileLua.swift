// Compiles the Lua parts of a target when it is built: a session opens by reading bytecode, which takes a tenth of the time that
// compiling their sources does.

import Foundation
import PackagePlugin

@main
struct CompileLua: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    guard let target = target as? SourceModuleTarget else { return [] }
    let sources = target.sourceFiles(withSuffix: ".lua").map(\.url).sorted { $0.path < $1.path }
    let output = context.pluginWorkDirectoryURL.appending(path: "CompiledLua.swift")
    return [
      .buildCommand(
        displayName: "Compiling \(sources.count) Lua parts", executable: try context.tool(named: "LuaCompiler").url,
        // What State.Configuration.internalPrefix says; a test compares.
        arguments: ["moongrad.", output.path] + sources.map(\.path), inputFiles: sources, outputFiles: [output])
    ]
  }
}
