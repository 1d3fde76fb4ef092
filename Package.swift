// swift-tools-version: 6.2
// The package: two columns, tensors and Lua, under one roof (see README, "The map of Sources").
import PackageDescription

let package = Package(
  name: "moongrad",
  products: [
    .library(name: "Moongrad", targets: ["Moongrad", "MoongradFoundation"]),
    .library(name: "Tensors", targets: ["Tensors"]),
    .library(name: "Files", targets: ["Files"]),
    .library(name: "Training", targets: ["Training"]),
    .executable(name: "moongrad", targets: ["MoongradCLI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0")
  ],
  targets: [
    // The tensor column.
    .systemLibrary(name: "COneDNN", providers: [.apt(["libdnnl-dev"])]),
    .target(name: "CKernels", linkerSettings: [.linkedLibrary("sleef"), .linkedLibrary("m")]),
    .target(name: "CContext"),
    .target(name: "Tensors", dependencies: ["CKernels", "CContext", "COneDNN"]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    // libpng and libjpeg are loaded when the first image is read.
    .target(name: "CImages"),
    .target(name: "Files", dependencies: ["Tensors", "CZlib", "CImages"]),
    .target(name: "Training", dependencies: ["Tensors", "Files"]),

    // The Lua column.
    .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
    .target(name: "CLuaShim", dependencies: ["CLua"]),
    .target(name: "LuaRuntime", dependencies: ["CLuaShim", "CLua"]),

    // The roof.
    .target(name: "CProcesses"),
    .target(
      name: "Bindings", dependencies: ["LuaRuntime", "Tensors", "Files", "Training", "CProcesses"],
      resources: [.embedInCode("Lua")], plugins: ["CompileLua"]),
    // Bindings/Lua is embedded twice: as sources, for help texts and for another release of Lua than the build's, and as bytecode.
    .executableTarget(name: "LuaCompiler", dependencies: ["CLua"]),
    .plugin(name: "CompileLua", capability: .buildTool(), dependencies: ["LuaCompiler"], path: "Sources/CompileLua"),
    .target(name: "Moongrad", dependencies: ["Bindings", "LuaRuntime", "Tensors", "Training", "Files"]),
    // What hosts with Foundation expect. The command has none: it would start later, and Swift's library could not be linked into it.
    .target(name: "MoongradFoundation", dependencies: ["Moongrad", "LuaRuntime", "Tensors", "Files"]),
    .systemLibrary(name: "CEdit", pkgConfig: "libedit", providers: [.apt(["libedit-dev"])]),
    // mimalloc takes the place of malloc in the command: a recorded operation makes three small objects, and a training
    // step of small tensors runs 10 % faster by it. Hosts keep the allocator that they chose.
    .executableTarget(
      name: "MoongradCLI", dependencies: ["Moongrad", "Bindings", "LuaRuntime", "Tensors", "CEdit"],
      linkerSettings: [.linkedLibrary("mimalloc")]),

    .testTarget(name: "CKernelsTests", dependencies: ["CKernels"]),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "CKernels"], exclude: ["Fixtures"]),
    .testTarget(name: "FilesTests", dependencies: ["Files", "Tensors"], exclude: ["Fixtures"]),
    .testTarget(name: "TrainingTests", dependencies: ["Training", "Tensors"], exclude: ["Fixtures"]),
    .testTarget(name: "LuaRuntimeTests", dependencies: ["LuaRuntime"]),
    // The sample host is a package of its own, which compiles the library once more; here it is built beside the tests, and run by one.
    .executableTarget(name: "SampleHost", dependencies: ["Moongrad"], path: "scripts/host/Sources/Host", resources: [.copy("Scripts")]),
    .testTarget(
      name: "MoongradTests", dependencies: ["Moongrad", "MoongradFoundation", "MoongradCLI", "SampleHost", "Bindings", "LuaRuntime"],
      exclude: ["attacks"]),
    // Hours of it on demand: scripts/fuzz_programs, scripts/many_sessions. They need nothing but what hosts have, so that they run in release.
    .testTarget(name: "EnduranceTests", dependencies: ["Moongrad"], exclude: ["programs.lua"]),
    .testTarget(name: "LuaTests", dependencies: ["Moongrad", "MoongradCLI"], exclude: ["check.lua", "ported", "topics"]),
  ],
  swiftLanguageModes: [.v6]
)
