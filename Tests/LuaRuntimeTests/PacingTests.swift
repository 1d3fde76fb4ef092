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
    // 400 MB claimed in the middle case; what lives at once is a quarter of a megabyte, or a few objects.
    let limit = (1 << 19) + 8 * bytes
    #expect(try #require(peak.first?.integerValue) < limit)
    state.collect()
    #expect(state.pointer.pointee.native == 0)
  }

  /// What lives through two young collections is old, and needs full ones.
  @Test(arguments: [(100, 1 << 16), (10, 1 << 20), (1000, 1 << 10)])
  func whatGrowsOldIsFoundToo(_ kept: Int, _ bytes: Int) throws {
    let state = try makeState()
    let peak = try state.run(
      source: """
        local ring, peak = {}, 0
        for i = 1, 100000 do ring[i % \(kept)] = claim(\(bytes)) if native() > peak then peak = native() end end
        return peak
        """)
    // Twice what is in use, and the 32 MB below which no full collection is made.
    #expect(try #require(peak.first?.integerValue) < 3 * kept * bytes + (48 << 20))
  }

  @Test func theModeIsTheScripts() throws {
    let state = try makeState()
    #expect(state.counts.generational)
    try state.run(source: "assert(collectgarbage('incremental') == 'generational')")
    #expect(!state.counts.generational)
    let peak = try state.run(
      source: """
        local peak = 0
        for i = 1, 100000 do claim(4096) if native() > peak then peak = native() end end
        return peak
        """)
    #expect(try #require(peak.first?.integerValue) < 8 << 20)
    try state.run(source: "collectgarbage('generational') assert(not pcall(collectgarbage, 'x'))")
    #expect(state.counts.generational)
    #expect(try state.failure("collectgarbage('x')").message.contains("bad argument #1 to 'collectgarbage'"))
  }

  @Test func anAccountOfItsOwnDecides() throws {
    let state = try makeState()
    state.readLiveBytes { 1 << 40 }
    #expect(!state.wouldExceedLimit(bytes: 1))
    try state.run(source: "for i = 1, 1000 do claim(1 << 20) end")  // collects fully whenever it looks
    let limited = try State(State.Configuration(memoryLimit: 1 << 20))
    limited.readLiveBytes { 1 << 40 }
    #expect(limited.wouldExceedLimit(bytes: 1))
    limited.readLiveBytes { 0 }
    #expect(!limited.wouldExceedLimit(bytes: 1))
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
