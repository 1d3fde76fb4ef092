// Interrupts reach native loops: whatever a script waits for ends soon after it was asked to, and the session works on.

import Foundation
import Moongrad
import Testing

@Suite(.serialized) struct InterruptTests {
  /// What takes a second and more in a release build, and what is made before. `n` is 1 there, and less where the library is slow.
  static let work: [(name: String, setup: String, run: String)] = [
    ("sort", "x = mg.randn(2e7 * n)", "x:sort()"), ("argsort", "x = mg.randn(2e7 * n)", "x:argsort()"),
    ("sort of whole numbers", "x = mg.randint(1, 1 << 40, { 2e7 * n // 1 })", "x:sort()"),
    ("unique", "x = mg.randn(2e7 * n)", "x:unique()"),
    ("topk", "x = mg.randn(2e7 * n)", "x:topk(1e7 * n // 1)"), ("quantile", "x = mg.randn(1e7 * n)", "x:quantile(0.3)"),
    ("median", "x = mg.randn(2e7 * n)", "for i = 1, 20 do x:median() end"),
    ("kthvalue", "x = mg.randn(2e7 * n)", "for i = 1, 20 do x:kthvalue(1e7 * n // 1) end"),
    ("cumsum", "x = mg.randn(5e7 * n)", "for i = 1, 20 do x:cumsum(1) end"),
    ("cumprod", "x = mg.ones(5e7 * n)", "for i = 1, 20 do x:cumprod(1) end"),
    ("logcumsumexp", "x = mg.randn(5e7 * n)", "x:logcumsumexp(1)"), ("cummax", "x = mg.randn(5e7 * n)", "for i = 1, 5 do x:cummax(1) end"),
    ("exp", "x = mg.zeros(1e8 * n)", "for i = 1, 20 do x:exp() end"),
    ("exp in place", "x = mg.zeros(1e8 * n)", "for i = 1, 50 do x:exp_() end"),
    ("addition in place", "x = mg.zeros(1e8 * n)", "for i = 1, 50 do x:add_(x) end"),
    ("sum", "x = mg.ones(2e8 * n)", "for i = 1, 50 do x:sum() end"),
    ("softmax of one row", "x = mg.randn(5e7 * n)", "for i = 1, 20 do x:softmax(1) end"),
    ("copies", "x = mg.randn(1e8 * n)", "for i = 1, 20 do x:clone() end"),
    ("cat", "x = mg.randn(5e7 * n)", "for i = 1, 20 do mg.cat { x, x } end"),
    ("conversion", "x = mg.randn(1e8 * n)", "for i = 1, 10 do x:to('float64') end"),
    ("transposed copy", "x = mg.randn(8000 * n // 1, 8000):t()", "for i = 1, 20 do x:contiguous() end"),
    ("fill", "", "for i = 1, 10 do mg.full({ 2e8 * n // 1 }, 2.5) end"), ("arange", "", "mg.arange(0, 4e8 * n)"),
    ("linspace", "", "mg.linspace(0, 1, 4e8 * n // 1)"),
    ("gather", "x = mg.randn(3e7 * n) i = mg.randint(1, 3e7 * n // 1, { 3e7 * n // 1 })", "for k = 1, 10 do x:gather(1, i) end"),
    (
      "scatter_add", "x = mg.zeros(3e7 * n) i = mg.randint(1, 3e7 * n // 1, { 3e7 * n // 1 })",
      "for k = 1, 10 do x:scatter_add(1, i, x) end"
    ),
    ("product", "a = mg.randn(4000 * n // 1, 4000)", "for i = 1, 5 do a:mm(a:t()) end"),
    ("addmm_", "a, c = mg.randn(4000 * n // 1, 4000), mg.zeros(4000 * n // 1, 4000 * n // 1)", "for i = 1, 5 do c:addmm_(a, a:t()) end"),
    (
      "baddbmm_", "a, c = mg.randn(100 * n // 1 + 1, 1000, 1000), mg.zeros(100 * n // 1 + 1, 1000, 1000)",
      "for i = 1, 5 do c:baddbmm_(a, a) end"
    ),
    ("product of whole numbers", "a = mg.ones(2000, 2000, { dtype = 'int64' })", "for i = 1, 3 do a:mm(a) end"),
    ("product of bfloat16", "a = mg.randn(4000 * n // 1, 4000):to('bfloat16')", "for i = 1, 10 do a:mm(a:t()) end"),
    ("svd", "a = mg.randn(1500, 1500)", "mg.linalg.svd(a)"), ("eigh", "a = mg.randn(1500, 1500) a = a + a:t()", "mg.linalg.eigh(a)"),
    ("qr", "a = mg.randn(2500, 2500)", "mg.linalg.qr(a)"), ("cholesky", "a = mg.eye(4000)", "for i = 1, 9 do mg.linalg.cholesky(a) end"),
    ("solve", "a = mg.randn(3000, 3000)", "for i = 1, 5 do mg.linalg.solve(a, a) end"),
    ("inv", "a = mg.randn(3000, 3000)", "for i = 1, 5 do mg.linalg.inv(a) end"),
    ("det", "a = mg.randn(3000, 3000)", "for i = 1, 5 do mg.linalg.det(a) end"),
    ("orthogonal_", "a = mg.zeros(2500, 2500)", "mg.nn.init.orthogonal_(a)"),
    ("randperm", "", "mg.randperm(5e7 * n // 1)"), ("multinomial", "p = mg.rand(1e5)", "p:multinomial(3e7 * n // 1, true)"),
    ("bernoulli", "p = mg.rand(1e8 * n)", "for i = 1, 5 do p:bernoulli() end"), ("randn", "", "for i = 1, 10 do mg.randn(2e8 * n) end"),
    ("rand", "", "for i = 1, 10 do mg.rand(2e8 * n) end"), ("randint", "", "for i = 1, 5 do mg.randint(1, 10, { 2e8 * n // 1 }) end"),
    ("normal_", "x = mg.zeros(1e8 * n)", "for i = 1, 20 do x:normal_() end"),
    ("dropout", "x = mg.ones(1e8 * n)", "for i = 1, 5 do mg.nn.functional.dropout(x, 0.5) end"),
    ("poisson", "x = mg.ones(1e8 * n)", "mg.poisson(x)"),
    ("convolution", "c = mg.nn.Conv2d(64, 64, 5) x = mg.randn(32, 64, 128 * n // 1 + 8, 64)", "for i = 1, 5 do c(x) end"),
    (
      "convolution of one image", "c = mg.nn.Conv2d(3, 8, 7) x = mg.randn(1, 3, 6000 * n // 1 + 8, 6000)",
      "for i = 1, 5 do mg.no_grad(function() c(x) end) end"
    ),
    (
      "weights of large images", "c = mg.nn.Conv2d(16, 16, 5) x = mg.randn(9, 16, 1500 * n // 1 + 5, 1500) y = c(x)",
      "for i = 1, 5 do y:backward(y, { retain_graph = true }) end"
    ),
    ("transposed convolution of one image", "c = mg.nn.ConvTranspose2d(4, 4, 5) x = mg.randn(1, 4, 4000 * n // 1, 4000)", "c(x)"),
    ("convolution of a long row", "c = mg.nn.Conv1d(4, 4, 9) x = mg.randn(1, 4, 2e7 * n // 1)", "for i = 1, 5 do c(x) end"),
    ("lstm", "r = mg.nn.LSTM(512, 512) x = mg.randn(300 * n // 1 + 20, 64, 512)", "r(x)"),
    ("tolist", "x = mg.randn(2e7 * n)", "x:tolist()"), ("unbind", "x = mg.randn(1e7 * n)", "x:unbind()"),
    ("split", "x = mg.randn(1e7 * n)", "x:split(1)"),
    ("a tensor of a list", "t = {} for i = 1, 1e7 * n do t[i] = i end", "for i = 1, 5 do mg.tensor(t) end"),
    ("printing", "mg.set_printoptions { threshold = mg.inf } x = mg.randn(2e6 * n)", "for i = 1, 5 do tostring(x) end"),
    ("saving", "x = mg.randn(3e8 * n)", "for i = 1, 5 do mg.save({ x = x }, folder .. '/x') end"),
    ("loading", "mg.save({ x = mg.randn(1e8 * n) }, folder .. '/y')", "for i = 1, 50 do mg.load(folder .. '/y') end"),
    ("arrays", "mg.save_npz({ x = mg.randn(5e7 * n) }, folder .. '/z.npz')", "for i = 1, 50 do mg.load_npz(folder .. '/z.npz') end"),
    ("compressed arrays", "x = mg.randn(2e7 * n)", "for i = 1, 5 do mg.save_npz({ x = x }, folder .. '/w.npz', { compressed = true }) end"),
    (
      "shuffled batches", "d = mg.data.TensorDataset(mg.randn(3e7 * n, 1))",
      "for x in mg.data.DataLoader(d, { batch_size = 3e7 * n // 1, shuffle = true }):iter() do end"
    ),
    ("adam", "p = mg.nn.Parameter(mg.randn(3e7 * n)) p.grad = mg.ones(3e7 * n) o = mg.optim.Adam({ p })", "for i = 1, 500 do o:step() end"),
    ("deepcopy", "m = mg.nn.Linear(5000 * n // 1, 5000)", "for i = 1, 100 do mg.deepcopy(m) end"),
    ("text found", "s = ('a'):rep(1e8)", "for i = 1, 1000 do s:find('b', 1, true) end"),
    ("text replaced", "s = ('a'):rep(1e8)", "s:gsub('a', 'b')"),
    ("text compiled", "s = 'return \"' .. ('a'):rep(3e8) .. '\"'", "for i = 1, 10 do load(s) end"),
    ("text joined", "t = {} for i = 1, 1e7 * n do t[i] = i end", "for i = 1, 20 do table.concat(t, ',') end"),
    ("another program", "", "os.execute('sleep 4')"), ("one that goes on", "", "os.execute('trap \"\" TERM; sleep 4; sleep 4')"),
    ("finalizers", "", "setmetatable({}, { __gc = function() while true do end end }) collectgarbage()"),
    ("hooks", "", "debug.sethook(function() while true do end end, 'l')\nx = 1\nx = 2"),
  ]

  #if DEBUG
    // Beside other tests, and whatever else the machine does; what cannot be interrupted takes far longer.
    static let (scale, soon) = (0.02, Duration.seconds(3))
  #else
    static let (scale, soon) = (1.0, Duration.milliseconds(150))
  #endif

  @Test(arguments: work.map(\.name)) func endsSoon(_ name: String) throws {
    let work = Self.work.first { $0.name == name }!
    let folder = Folder()
    let session = try Session()
    session["n"] = Self.scale
    session["folder"] = folder.path
    try session.run("mg = require 'moongrad'\n" + work.setup)
    let interrupter = session.interrupter
    let struck = Struck()
    session.function("ready") {
      Thread.detachNewThread {
        Thread.sleep(forTimeInterval: 0.05)
        struck.now()
        interrupter.interrupt()
      }
    }
    do {
      try session.run("ready()\n" + work.run)
      // Too little for this machine: nothing was tested, and nothing may be struck later.
      while struck.time == nil { Thread.sleep(forTimeInterval: 0.01) }
    } catch let error as LuaError {
      let took = try #require(struck.time, "it failed before: \(error)").duration(to: .now)
      #expect(error.kind == .interrupted, "\(error)")
      #expect(took < Self.soon, "it took \(took)")
    }
    #expect(try session.evaluate("1 + 1", as: Int.self) == 2)
  }

  private final class Struck: @unchecked Sendable {
    private let lock = NSLock()
    private var instant: ContinuousClock.Instant?
    func now() { lock.withLock { instant = .now } }
    var time: ContinuousClock.Instant? { lock.withLock { instant } }
  }
}
