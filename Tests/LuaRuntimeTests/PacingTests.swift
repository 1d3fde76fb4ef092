// Native memory paces the collector.
import Testing

@testable import LuaRuntime

@Suite struct PacingTests {
  /// An object that claims native bytes while it lives.
  final class Claim {
    let state: Unmanaged<State>
    let bytes: Int
    init(_ state: State, _ bytes: Int) {
      self.state = .passUnretained(state)
      self.bytes = bytes
      state.claim(bytes: bytes)
    }
    deinit { state._withUnsafeGuaranteedRef { $0.unclaim(bytes: bytes) } }
  }

  func makeState() throws -> State {
    let state = try State()
    let kind = HandleKind<Claim>("Claim")
    try state.setGlobal(
      "claim",
      .native(NativeFunction { call in call.returns(Claim(call.state, call.integer(1) ?? 0), kind) }))
    try state.setGlobal(
      "native", .native(NativeFunction { call in call.returns(Int(call.state.pointer.pointee.native)) }))
    return state
  }

  @Test(arguments: [100, 4 << 10, 1 << 20])
  func memoryStaysFlat(_ bytes: Int) throws {
    let state = try makeState()
    let peak = try state.run(
      source: """
        local peak = 0
        for i = 1, 100000 do claim(\(bytes)) if native() > peak then peak = native() end end
        return peak
        """)
    // 400 MB claimed in the middle case; what lives at once is a few steps' worth, plus one object.
    let limit = 8 << 20 + 40 * bytes
    #expect(try #require(peak.first?.integerValue) < limit)
    state.collect()
    #expect(state.pointer.pointee.native == 0)
  }

  @Test func aStoppedCollectorStaysStopped() throws {
    let state = try makeState()
    try state.run(
      source: "collectgarbage('stop') for i = 1, 1000 do claim(1 << 20) end assert(native() == 1000 << 20)")
    try state.run(source: "collectgarbage('restart') claim(1 << 20) for i = 1, 100 do claim(1 << 20) end")
    #expect(state.pointer.pointee.native < 200 << 20)
  }

  @Test func finalizersMayAllocate() throws {
    let state = try makeState()
    try state.run(
      source: """
        local function make() setmetatable({}, {__gc = function() claim(1 << 20) if n < 1000 then n = n + 1 make() end end}) end
        n = 0
        _G.make = make
        for i = 1, 20 do make() end
        for i = 1, 5000 do claim(1 << 16) end
        """)
    #expect(state.pointer.pointee.native < 200 << 20)
  }
}
