-- Runs the workloads in both libraries, in turn, and prints them side by side. Called by scripts/bench.

local here = arg[0]:match "^.*/" or "./"
local binary, python = os.getenv "MOONGRAD_BINARY", os.getenv "MOONGRAD_TORCH_PYTHON"
if python == "" then python = nil end

-- The targets: at least so many times faster than PyTorch. `text` is what was asked for: its times are those of one
-- machine, and the ratios follow from PyTorch's times on it.
local rows = {
  { "W1",        "regression 1-10-1, batch 100",      factor = 84 / 4,     text = "4 µs" },
  { "W1f",       "W1, first layer frozen",            share = 0.6,         text = "0.6 of W1", of = "W1" },
  { "W2",        "(a·b)·d, backward",                 factor = 20 / 1,     text = "1 µs" },
  { "W2c",       "100 multiplications, backward",     factor = 428 / 40,   text = "40 µs" },
  { "W3",        "MLP 784-128-10, batch 64",          factor = 356 / 80,   text = "80 µs" },
  { "W3a",       "W3 with Adam",                      factor = 528 / 110,  text = "110 µs" },
  { "W4",        "MLP 1024-1024-1000, batch 256",     factor = 15.3 / 7,   text = "7 ms" },
  { "E1",        "add of 10 elements, with graph",    factor = 1.14 / 0.2, text = "0.2 µs" },
  { "E2add",     "add of 10⁶ elements",               factor = 1 },
  { "E2exp",     "exp of 10⁶ elements",               factor = 3 },
  { "E2tanh",    "tanh of 10⁶ elements",              factor = 6 },
  { "E2softmax", "softmax of 1000×1000",              factor = 2 },
  { "Lcnn",      "CNN 28×28, batch 64, Adam",         factor = 1 },
  { "Lrnn",      "RNN 64 × 32 × 64, hidden 128",      factor = 1 },
  { "Llstm",     "LSTM, the same",                    factor = 1 },
  { "Lgru",      "GRU, the same",                     factor = 1 },
  { "Lblock",    "transformer layer 8 × 128 × 256",   factor = 1 },
  { "Lbn",       "batch norm 32 × 64 × 28 × 28",      factor = 1 },
  { "Lln",       "layer norm 1024 × 512",             factor = 1 },
  { "Ladam",     "Adam of 10⁷ parameters, fused",     factor = 1 },
  { "W3f",       "W3, first layer frozen",            factor = 1, of = "W3" },
  { "F9",        "MLP of 9 × 512, batch 128",         factor = 1 },
  { "F9b4",      "the same, bottom 4 frozen",         factor = 1, of = "F9" },
  { "F9b8",      "the same, bottom 8 frozen",         factor = 1, of = "F9" },
  { "F9t4",      "the same, top 4 frozen",            factor = 1, of = "F9" },
  { "F9t8",      "the same, all but bottom frozen",   factor = 1, of = "F9" },
  { "Fcnn",      "LeNet 28×28, batch 64",             factor = 1 },
  { "Fcnnf",     "the same, convolutions frozen",     factor = 1, of = "Fcnn" },
  { "Vgrad",     "vmap(grad) of W1, 256 points",      factor = 1 },
  { "Vhess",     "Hessian by 50 parameters",          factor = 1 },
}
-- Memory after a tenth of the steps may grow by this much more, in MiB: pages of the collector's and the allocator's.
local slack = 4
local memories = { { "W1", 1000000, 20000 }, { "W4", 2000, 50 } }

-- Options ------------------------------------------------------------------------------------------------------------

local usage = "usage: scripts/bench [--quick] [--only W1,W2,…] [--threads N]"
local quick, only, threads = false, nil, nil
local i = 1
while arg[i] do
  if arg[i] == "--quick" then
    quick = true
  elseif arg[i] == "--threads" and (arg[i + 1] or ""):find "^%d+$" then
    i, threads = i + 1, arg[i + 1]
  elseif arg[i] == "--only" and arg[i + 1] then
    i, only = i + 1, {}
    for name in arg[i]:gmatch "[^,]+" do only[name] = true end
  else
    io.stderr:write(usage, "\n")
    os.exit(arg[i] == "--help" and 0 or 64)
  end
  i = i + 1
end

local function wanted(name)
  return not only or only[name] or only[name:match "^[ELFV]2?"]
end

if only then
  local known = { E2 = true, L = true, F = true, V = true, M = true }
  for _, row in ipairs(rows) do known[row[1]] = true end
  for name in pairs(only) do
    if not known[name] then
      io.stderr:write(("moongrad: there is no workload '%s'\n"):format(name))
      os.exit(64)
    end
  end
end

-- Running ------------------------------------------------------------------------------------------------------------

local function quoted(text) return "'" .. text:gsub("'", [['\'']]) .. "'" end

local function lines_of(...)
  local words = { ... }
  for n, word in ipairs(words) do words[n] = quoted(tostring(word)) end
  local pipe = assert(io.popen(table.concat(words, " ")))
  local list = {}
  for line in pipe:lines() do list[#list + 1] = line end
  if not pipe:close() then error(("failed: %s"):format(table.concat(words, " ")), 0) end
  return list
end

local function with_threads(...)
  if not threads then return lines_of(...) end
  return lines_of("env", "MOONGRAD_NUM_THREADS=" .. threads, "OMP_NUM_THREADS=" .. threads, ...)
end
local function ours(...) return with_threads(binary, here .. "../bench.lua", ...) end
local function theirs(...) return with_threads(python, here .. "../bench_torch.py", ...) end

local names = {}
for _, row in ipairs(rows) do
  if wanted(row[1]) then names[#names + 1] = row[1] end
end

-- results[side][name] = { best = seconds, medians = { … } }
local function collect(results, lines)
  for _, line in ipairs(lines) do
    local name, best, median = line:match "^(%S+) (%S+) (%S+)$"
    local entry = results[name] or { best = math.huge, medians = {} }
    results[name] = entry
    entry.best = math.min(entry.best, tonumber(best))
    table.insert(entry.medians, tonumber(median))
  end
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local rounds, seconds = quick and 2 or 5, quick and 0.15 or 0.5
local us, them = {}, {}
if #names > 0 then
  for round = 1, rounds do
    io.stderr:write(("moongrad: round %d of %d\n"):format(round, rounds))
    collect(us, ours(seconds, table.unpack(names)))
    if python then collect(them, theirs(seconds, table.unpack(names))) end
  end
end

-- The table ----------------------------------------------------------------------------------------------------------

local function shown(time)
  if not time then return "-" end
  for _, unit in ipairs{ { 1e-6, "ns" }, { 1e-3, "µs" }, { 1, "ms" } } do
    if time < unit[1] then
      local value = time / unit[1] * 1000
      return ((value < 10 and "%.2f %s" or value < 100 and "%.1f %s" or "%.0f %s"):format(value, unit[2]))
    end
  end
  return ("%.2f s"):format(time)
end

-- string.format counts bytes; columns count characters.
local function pad(text, width, left)
  local fill = (" "):rep(width - utf8.len(text))
  return left and text .. fill or fill .. text
end

local widths = { -10, -32, 9, 9, 9, 9, 8, 19, 5 }
local function print_row(cells)
  for n, width in ipairs(widths) do cells[n] = pad(cells[n] or "", math.abs(width), width < 0) end
  print((table.concat(cells, " "):gsub(" +$", "")))
end

local head = ("Moongrad: %s threads"):format(ours("--threads")[1])
if python then
  local count, version = theirs("--threads")[1]:match "^(%S+) (%S+)$"
  head = ("%s; PyTorch %s: %s threads"):format(head, version, count)
end
print(("%s; %d rounds in turn, %s s a workload in each; time of one step"):format(head, rounds, seconds))

local missed = 0
local function verdict(met)
  if met == nil then return "" end
  if not met then missed = missed + 1 end
  return met and "yes" or "no"
end

if #names > 0 then
  print()
  print_row{ "", "", "ours", "", "PyTorch" }
  print_row{ "workload", "", "best", "median", "best", "median", "ratio", "target", "met" }
end
for _, row in ipairs(rows) do
  local name = row[1]
  local mine, yours = us[name], them[name]
  if mine then
    local ratio = yours and yours.best / mine.best
    local target, met
    if row.share then
      target = row.text
      if us.W1 then met = mine.best <= row.share * us.W1.best end
    else
      target = ("%.3g×"):format(row.factor) .. (row.text and " (" .. row.text .. ")" or "")
      if ratio then met = ratio >= row.factor end
    end
    print_row{
      name, row[2], shown(mine.best), shown(median(mine.medians)), shown(yours and yours.best),
      shown(yours and median(yours.medians)), ratio and ("%.3g×"):format(ratio) or "-", target, verdict(met),
    }
  end
end

-- What a frozen layer saves: as much as in PyTorch, within what two runs of the same differ by.
local is_headed = false
for _, row in ipairs(rows) do
  local mine, whole, yours, their_whole = us[row[1]], us[row.of], them[row[1]], them[row.of]
  if mine and whole then
    if not is_headed then print "\nA step with layers frozen, as a share of one with none:" end
    is_headed = true
    local share, other = mine.best / whole.best, yours and yours.best / their_whole.best
    local beside = other and ("   PyTorch %5.3f   %s"):format(other, verdict(share <= 1.02 * other)) or ""
    print(("  %-8s %s %5.3f%s"):format(row[1], pad(row[2], 32, true), share, beside))
  end
end

if wanted "M" then
  print()
  print "M: resident memory in MiB, after a tenth of the steps, at the end, and the most; flat is the target"
  for _, entry in ipairs(memories) do
    local name, long, short = table.unpack(entry)
    local steps = quick and short or long
    local first, last, most = ours("--memory", name, steps)[1]:match "^(%S+) (%S+) (%S+)$"
    print(("  %-3s %9d steps %9s %9s %9s   %s"):format(
      name, steps, first, last, most, verdict(tonumber(most) <= tonumber(first) + slack)))
  end
end
if missed > 0 then print(("\n%d targets missed"):format(missed)) end
