// What x.shape, x:size() and x:stride() give: lists that say what they hold.

import LuaRuntime

/// Makes the lists of one session.
final class SizeLists {
  private var make: FunctionReference?

  /// Returns sizes as a list of numbers with the metatable that Lua/sizes.lua gives it.
  func returns(_ sizes: [Int], _ call: inout Call) throws {
    let make = try make ?? made(in: call.state)
    for list in try make.call(.list(sizes.map(Value.integer))) { call.returns(list) }
  }

  private func made(in state: State) throws -> FunctionReference {
    let name = State.Configuration.internalPrefix + "sizes"
    guard case .function(let function)? = try state.run(source: Help.text(of: PackageResources.sizes_lua), chunkName: name).first else {
      throw LuaError("sizes.lua returned no function")
    }
    make = function
    return function
  }
}
