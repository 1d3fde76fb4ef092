-- A pass over a data set in batches, beside PyTorch's DataLoader, in turn and in one run. Called by scripts/bench --data.
--
-- 60,000 rows of 784 float32 and their labels, in batches of 64, shuffled; then the same in order, of a subset, of small rows, read
-- ahead, and with a data set of which single samples are asked for. With --run this is the part that times ours.

local here = arg[0]:match "^.*/" or "./"
local binary, python = os.getenv "MOONGRAD_BINARY", os.getenv "MOONGRAD_TORCH_PYTHON"
if python == "" then python = nil end

-- name, rows, columns, and the loader in both languages: ds is the TensorDataset, part a random half of it, own a class with get.
local rows = {
  { "60,000 × 784, batches of 64, shuffle", 60000, 784, "loader(ds, { batch_size = 64, shuffle = true })", "DataLoader(ds, 64, True)" },
  { "the same, 4 read ahead", 60000, 784, "loader(ds, { batch_size = 64, shuffle = true, prefetch = 4 })", "DataLoader(ds, 64, True)" },
  { "the same in order", 60000, 784, "loader(ds, { batch_size = 64 })", "DataLoader(ds, 64)" },
  { "a random half", 60000, 784, "loader(part, { batch_size = 64, shuffle = true })", "DataLoader(part, 64, True)" },
  { "60,000 × 4, batches of 64, shuffle", 60000, 4, "loader(ds, { batch_size = 64, shuffle = true })", "DataLoader(ds, 64, True)" },
  { "a class with get, 60,000 × 4", 60000, 4, "loader(own, { batch_size = 64, shuffle = true })", "DataLoader(own, 64, True)" },
}

if arg[1] == "--run" then
  local mg = require "moongrad"
  local loader = mg.data.DataLoader
  for i, row in ipairs(rows) do
    local x, y = mg.randn(row[2], row[3]), mg.randint(0, 10, { row[2] })
    local ds = mg.data.TensorDataset(x, y)
    local Own = mg.data.Dataset "Own"
    function Own:len() return row[2] end
    function Own:get(k) return x[k], y[k] end
    local part = mg.data.random_split(ds, { 0.5, 0.5 })[1]
    local batches = load("local loader, ds, part, own = ... return " .. row[4])(loader, ds, part, Own())
    local best = math.huge
    for _ = 1, tonumber(arg[2]) do
      local start, count = mg.clock(), 0
      for a in batches:iter() do count = count + a.shape[1] end
      best = math.min(best, mg.clock() - start)
      assert(count == #batches.dataset)
    end
    print(i, best)
  end
  return
end

local theirs = [[
import sys, time, torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split
def run(i, n, width, text, rounds):
    x, y = torch.randn(n, width), torch.randint(0, 10, (n,))
    ds = TensorDataset(x, y)
    class Own(Dataset):
        def __len__(self): return n
        def __getitem__(self, k): return x[k], y[k]
    part, own = random_split(ds, [0.5, 0.5])[0], Own()
    batches = eval(text, {"DataLoader": DataLoader, "ds": ds, "part": part, "own": own})
    best = 1e9
    for _ in range(rounds):
        start, count = time.perf_counter(), 0
        for a, _ in batches:
            count += a.shape[0]
        best = min(best, time.perf_counter() - start)
        assert count == len(batches.dataset)
    print(i, best)
]]

local function lines_of(command)
  local pipe, list = assert(io.popen(command)), {}
  for line in pipe:lines() do
    local i, time = line:match "^(%d+)%s+(%S+)$"
    if i then list[tonumber(i)] = tonumber(time) end
  end
  if not pipe:close() then error("failed: " .. command, 0) end
  return list
end

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

local quick = arg[1] == "--quick"
for _, word in ipairs(arg) do
  if word ~= "--data" and word ~= "--quick" then
    io.stderr:write "usage: scripts/bench --data [--quick]\n"
    os.exit(64)
  end
  quick = quick or word == "--quick"
end

local passes, rounds = quick and 2 or 3, quick and 1 or 3
local best, other = {}, {}
for round = 1, rounds do
  io.stderr:write(("moongrad: round %d of %d\n"):format(round, rounds))
  for i, time in pairs(lines_of(("%s %s --run %d"):format(quoted(binary), quoted(arg[0]), passes))) do
    best[i] = math.min(best[i] or math.huge, time)
  end
  if python then
    local program = theirs
    for i, row in ipairs(rows) do program = program .. ("run(%d, %d, %d, %q, %d)\n"):format(i, row[2], row[3], row[5], passes) end
    for i, time in pairs(lines_of(("%s -c %s"):format(quoted(python), quoted(program)))) do
      other[i] = math.min(other[i] or math.huge, time)
    end
  end
end

local function shown(time) return time and ("%7.1f ms"):format(time * 1000) or "        -" end
print(("%-38s %10s %10s  ratio"):format("a pass", "Moongrad", "PyTorch"))
for i, row in ipairs(rows) do
  print(("%s%s %s %s  %s"):format(row[1], (" "):rep(38 - utf8.len(row[1])), shown(best[i]), shown(other[i]),
    other[i] and ("%.1f"):format(other[i] / best[i]) or "-"))
end
