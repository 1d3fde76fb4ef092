-- What a script can ask for and nobody should: numbers beyond all use, thousands of arguments, modules within themselves.
local check = dofile((arg[0]:match "^.*/" or "./") .. "../check.lua")
local mg = require "moongrad"
local nn = mg.nn

check.case("print options", function()
  local values = { math.maxinteger, math.mininteger, 1 << 62, -1, 0, 0 / 0, 1 / 0, -1 / 0, 1e308, 2.5 }
  for _, option in ipairs { "edgeitems", "linewidth", "threshold", "precision" } do
    for _, value in ipairs(values) do
      if pcall(mg.set_printoptions, { [option] = value }) then
        for _, x in ipairs { mg.ones(3), mg.ones(40, 30), mg.ones(2, 3, { requires_grad = true }) * 2.5, mg.zeros(2, 0) } do
          check.is_true(tostring(x):find "^tensor")
        end
      end
      mg.set_printoptions { profile = "default" }
    end
  end
  check.equal(tostring(mg.ones(3)), "tensor([1., 1., 1.])")
end)

check.case("custom functions of many arguments take time in proportion", function()
  local Many = mg.autograd.Function("Many", {
    forward = function(ctx, ...)
      ctx:save_for_backward(...)
      return ...
    end,
    backward = function(_, ...) return ... end,
  })
  local function seconds(count)
    local xs = {}
    for i = 1, count do xs[i] = mg.ones(1, { requires_grad = true }) end
    local best = math.huge
    for _ = 1, 3 do
      local start = mg.clock()
      local ys = table.pack(Many(table.unpack(xs)))
      mg.autograd.backward(ys)
      best = math.min(best, mg.clock() - start)
    end
    check.equal(xs[count].grad, mg.tensor { 3.0 })
    return best
  end
  seconds(100)
  -- Eight times as many: 8 times as long, where a search through them all took 64 times.
  check.is_true(seconds(8000) < 25 * seconds(1000))
end)

check.case("numbers at the ends of their range", function()
  for _, number in ipairs { math.mininteger, math.maxinteger } do
    check.equal(mg.cov(mg.ones(2, 3), number).shape, { 2, 2 })
  end
  local loader = mg.data.DataLoader(mg.data.TensorDataset(mg.ones(1):expand(1 << 40)), { prefetch = 1 << 62 })
  for x in loader:iter() do
    check.equal(x, mg.ones(1))
    break
  end
end)

check.case("modules that are nested deeper than anybody walks", function()
  local net = nn.Linear(1, 1)
  for _ = 1, 30000 do net = nn.Sequential(net) end
  for _, walk in ipairs { mg.deepcopy, mg.summary, net.state_dict, net.train, net.zero_grad } do
    local ok, message = pcall(walk, net)
    check.is_true(not ok)
    check.mentions(message, "nested more than")
  end
  local own = nn.Sequential()
  own:append(own)
  check.mentions(tostring(own), "Sequential(…)")
end)

check.case("messages count the bytes of a long text, whatever they are", function()
  for _, byte in ipairs { "a", "\xff" } do
    check.raises("add: argument 1 (input): expected a tensor or a number, got a string of 1000 bytes", mg.add, byte:rep(1000), 1)
  end
  check.raises('add: argument 1 (input): expected a tensor or a number, got "a\u{FFFD}b"', mg.add, "a\xffb", 1)
end)

check.case("programs end as os.execute of Lua's says", function()
  -- What the shell is given, and what comes back, by Lua's manual.
  for command, expected in pairs {
    ["true"] = { true, "exit", 0 }, ["exit 3"] = { nil, "exit", 3 }, ["kill -9 $$"] = { nil, "signal", 9 },
    ["/no/such/program 2>/dev/null"] = { nil, "exit", 127 },
  } do
    local ok, how, code = os.execute(command)
    check.equal(ok, expected[1])
    check.equal(how, expected[2])
    check.equal(code, expected[3])
  end
  check.equal(os.execute(), true)
  check.raises("bad argument #1 to 'os.execute' (string expected, got table)", os.execute, {})
end)

return check.done()
