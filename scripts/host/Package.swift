// swift-tools-version: 6.2
// A game that plays with Moongrad, as a package of its own. Run it: swift run --package-path scripts/host
import PackageDescription

let package = Package(
  name: "host",
  dependencies: [
    // Outside of this repository: .package(url: "https://github.com/…/moongrad", from: "0.1.0")
    .package(name: "moongrad", path: "../..")
  ],
  targets: [
    .executableTarget(
      name: "Host", dependencies: [.product(name: "Moongrad", package: "moongrad")],
      resources: [.copy("Scripts")])
  ]
)
