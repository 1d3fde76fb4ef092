-- What training loops have around the training: progress on the terminal, an end in time, and logs.

local native, mg, nn, shared = ...
local format, rep = string.format, string.rep
local raise, found, options = shared.raise, shared.found, shared.options

-- Progress ---------------------------------------------------------------------------------------------------------

--[=[ mg.progress(count, { desc = "", total, leave = false, every = 0.1, write })
mg.progress(loader, { … })
mg.progress(iterator, { … })

Counts from 1 to count, or goes through what a loader or an iterator gives, and shows on a terminal how far it is, how fast, and how
long it will take. Within a loop over another one it stands a line lower.

Options:
  desc: what is before the bar
  total: how many rounds there will be, where what is gone through cannot say
  leave: whether the last state stays on the terminal
  every: seconds between two pictures
  write: a function that gets what is shown, in place of standard error; then it is shown where there is no terminal, too

The object has bar:set{ name = value, … }, which shows values after the bar, numbers with four digits; values that were set before stay.
bar:close() ends the picture where a loop was left early.

Example:
  local bar = mg.progress(3, { desc = "epochs" })
  for epoch in bar do bar:set { loss = 1 / epoch } end
]=]

local Progress = {}
local function answers(value, event)
  local meta = getmetatable(value)
  return type(meta) == "table" and meta[event] ~= nil
end

local open = {}                -- the bars that are shown, the outermost first

local function place_of(bar)
  for i = 1, #open do if open[i] == bar then return i end end
end

-- Seconds as 03:20 or 1:03:20.
local function duration(seconds)
  if not (seconds < 1e6) then return "?" end
  local whole = math.floor(seconds)
  local text = format("%02d:%02d", whole // 60 % 60, whole % 60)
  return whole >= 3600 and format("%d:%s", whole // 3600, text) or text
end

local function shown(value)
  if mg.is_tensor(value) and value:numel() == 1 then value = value:item() end
  if math.type(value) == "float" then return format("%.4g", value) end
  return tostring(value)
end

-- The line of a bar, as wide as fits in most terminals.
local function line(bar, now)
  local passed = now - bar.began
  local rate = passed > 0 and bar.done / passed or 0
  local speed = rate == 0 and "?/s" or rate >= 1 and format("%.1f/s", rate) or format("%.1f s each", 1 / rate)
  local text = bar.desc ~= "" and bar.desc .. ": " or ""
  if bar.total then
    local share = bar.total > 0 and math.min(bar.done / bar.total, 1) or 1
    local filled = math.floor(share * 20 + 0.5)
    local left = rate > 0 and duration((bar.total - bar.done) / rate) or "?"
    text = format("%s%3d%% [%s%s] %d/%d %s<%s, %s", text, math.floor(share * 100), rep("#", filled), rep(".", 20 - filled), bar.done,
      bar.total, duration(passed), left, speed)
  else
    text = format("%s%d %s, %s", text, bar.done, duration(passed), speed)
  end
  local names = {}
  for name in pairs(bar.values) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do text = text .. format(" %s=%s", name, bar.values[name]) end
  -- Not in the middle of a character.
  local stop = utf8.len(text) and utf8.offset(text, 120)
  return stop and string.sub(text, 1, stop - 1) or text
end

local function draw(bar, now)
  bar.drawn = now
  local below = (place_of(bar) or 1) - 1
  bar.write(rep("\n", below) .. "\r" .. line(bar, now) .. "\27[K" .. rep("\27[A", below))
end

local function finish(bar)
  local place = place_of(bar)
  if not place then return end
  -- Bars within it that were left early end with it.
  for i = #open, place + 1, -1 do finish(open[i]) end
  if bar.leave and place == 1 then
    draw(bar, mg.clock())
    bar.write("\n")
  else
    bar.write(rep("\n", place - 1) .. "\r\27[K" .. rep("\27[A", place - 1))
  end
  table.remove(open, place)
end

local function begin(bar)
  bar.done, bar.began, bar.values = 0, mg.clock(), {}
  bar.drawn = bar.began
  if bar.write and not place_of(bar) then open[#open + 1] = bar end
end

-- A step of a loop: what `next_round` gave, after the picture.
local function passed_on(bar, first, ...)
  if first == nil then
    finish(bar)
    bar.running = false
    return nil
  end
  if bar.write then
    local now = mg.clock()
    if now - bar.drawn >= bar.every then draw(bar, now) end
  end
  return first, ...
end

local function advance(bar, _, previous)
  if previous == nil or not bar.running then
    begin(bar)
    bar.running = true
    bar.source = bar.start()
  else
    bar.done = bar.done + 1
    -- A loop within that was left early.
    local place = place_of(bar)
    if place then for i = #open, place + 1, -1 do finish(open[i]) end end
  end
  return passed_on(bar, bar.source(bar.done))
end

function Progress.set(bar, values)
  if type(values) ~= "table" then raise("set: expected a table of values by their names, got %s", found(values)) end
  for name, value in pairs(values) do bar.values[tostring(name)] = shown(value) end
end

function Progress.close(bar)
  finish(bar)
  bar.running = false
end

local methods = {}
for name, method in pairs(Progress) do
  methods[name] = function(bar, ...)
    if type(bar) ~= "table" or not rawget(bar, "start") then
      raise("%s: expected what progress gave as self, got %s; methods are called with ':'", name, found(bar))
    end
    return method(bar, ...)
  end
end

local bars = { __index = methods, __call = advance, __name = "Progress" }
function bars.__close(bar) methods.close(bar) end
function bars.__tostring(bar) return line(bar, mg.clock()) end
function bars.__len(bar) return bar.total or 0 end

function mg.progress(what, ...)
  local set = options("progress", { { "desc", "" }, { "total" }, { "leave", false }, { "every", 0.1 }, { "write" } }, ...)
  local start, total
  if type(what) == "number" then
    total = math.tointeger(what)
    if not total or total < 0 then raise("progress: expected a count, got %s", tostring(what)) end
    start = function() return function(done) if done < total then return done + 1 end end end
  elseif type(what) == "function" or answers(what, "__call") and not mg.is_tensor(what) then
    -- Called as a loop calls it, with what it gave first the last time. A loader: each loop over it is a pass.
    if answers(what, "__len") then total = #what end
    start = function()
      local control
      local function passed(first, ...)
        control = first
        return first, ...
      end
      return function() return passed(what(nil, control)) end
    end
  else
    raise("progress: expected a count, a loader or an iterator, got %s", type(what) == "table" and "table" or found(what))
  end
  if set.total ~= nil then
    local count = type(set.total) == "number" and math.tointeger(set.total)
    if not count or count < 0 then raise("progress: total must be a count, got %s", found(set.total)) end
    total = count
  end
  if not (set.every >= 0) then raise("progress: every must be seconds from 0 on, got %s", found(set.every)) end
  if set.write ~= nil and type(set.write) ~= "function" then raise("progress: write must be a function, got %s", found(set.write)) end
  local bar = setmetatable({
    start = start, total = total, desc = set.desc, leave = set.leave, every = set.every,
    write = set.write or native.is_terminal() and native.write_error or nil, done = 0, began = mg.clock(), values = {},
  }, bars)
  -- The fourth closes it when a loop is left early.
  return bar, nil, nil, bar
end

-- An end in time ---------------------------------------------------------------------------------------------------

--[=[ mg.EarlyStopping({ patience = 5, min_delta = 0, mode = "min" })

Tells when a measure has not become better for a while: stopper:step(value), of a number or a tensor of one element, is true when it is
time to stop. Fields: best, best_step, bad_steps, steps, improved (whether the last step was the best so far). A value that is nan is
never better. state_dict() and load_state_dict(state) save and restore what was seen.

Options:
  patience = 5: how many steps may pass without a better value
  min_delta = 0: by how much a value must be better to count, 0 or more
  mode = "min": or "max", where larger is better

Example:
  local stopper = mg.EarlyStopping { patience = 2 }
  for epoch, loss in ipairs { 3, 2, 2.5, 2.1, 1 } do
    if stopper:step(loss) then print("stopped at", epoch, "best", stopper.best) break end
  end
]=]

local Stopping = {}
Stopping.__index, Stopping.__name = Stopping, "EarlyStopping"
local stopping_state = { "best", "best_step", "bad_steps", "steps", "improved" }

local function stopper(self, what)
  if getmetatable(self) ~= Stopping then
    raise("%s: expected an EarlyStopping as self, got %s; methods are called with ':'", what, found(self))
  end
  return self
end

function mg.EarlyStopping(...)
  local set = options("EarlyStopping", { { "patience", 5 }, { "min_delta", 0 }, { "mode", "min" } }, ...)
  if math.type(set.patience) ~= "integer" or set.patience < 0 then
    raise("EarlyStopping: patience must be a whole number from 0 on, got %s", found(set.patience))
  end
  if not (set.min_delta >= 0) then
    raise("EarlyStopping: min_delta must be 0 or more, got %s", found(set.min_delta))
  end
  if set.mode ~= "min" and set.mode ~= "max" then raise("EarlyStopping: mode must be \"min\" or \"max\", got %s", found(set.mode)) end
  return setmetatable({ patience = set.patience, min_delta = set.min_delta, mode = set.mode, bad_steps = 0, steps = 0, improved = false }, Stopping)
end

function Stopping.step(self, value)
  stopper(self, "step")
  if mg.is_tensor(value) and value:numel() == 1 then value = value:item() end
  if type(value) ~= "number" then raise("EarlyStopping: step: expected a number, got %s", found(value)) end
  self.steps = self.steps + 1
  local best = self.best
  if self.mode == "min" then
    self.improved = value == value and (best == nil or value < best - self.min_delta)
  else
    self.improved = value == value and (best == nil or value > best + self.min_delta)
  end
  if self.improved then
    self.best, self.best_step, self.bad_steps = value, self.steps, 0
  else
    self.bad_steps = self.bad_steps + 1
  end
  return self.bad_steps > self.patience
end

function Stopping.state_dict(self)
  stopper(self, "state_dict")
  local state = {}
  for _, name in ipairs(stopping_state) do state[name] = self[name] end
  return state
end

function Stopping.load_state_dict(self, state)
  stopper(self, "load_state_dict")
  if type(state) ~= "table" or type(state.steps) ~= "number" or type(state.bad_steps) ~= "number" then
    raise("EarlyStopping: load_state_dict: expected what state_dict() gives, got %s", found(state))
  end
  for _, name in ipairs(stopping_state) do self[name] = state[name] end
end

function Stopping.__tostring(self)
  return format("EarlyStopping(patience=%d, min_delta=%s, mode=%s, best=%s)", self.patience, shown(self.min_delta), self.mode,
    self.best and shown(self.best) or "none")
end

-- Logs -------------------------------------------------------------------------------------------------------------

local function files(what)
  if not lends_files() then raise("%s: this session lends scripts no files", what) end
end

--[=[ mg.loggers.SummaryWriter(folder = "runs")

Writes what TensorBoard shows (tensorboard --logdir runs) into a folder: each folder is a run. Every event is in the file when the call
returns.

Methods:
  add_scalar(tag, value, step = 0): a number, kept as float32
  add_scalars(tag, values, step = 0): several, by their names, as tag/name
  add_histogram(tag, tensor, step = 0): how a tensor's elements are distributed
  add_text(tag, text, step = 0): Markdown
  flush(), close(): waits for the disk; ends the file

Example:
  local folder = os.tmpname() .. "-runs"
  local writer <close> = mg.loggers.SummaryWriter(folder)
  for step = 1, 3 do writer:add_scalar("loss", 1 / step, step) end
]=]
function mg.loggers.SummaryWriter(...)
  files "SummaryWriter"
  return native.summary_writer(...)
end

--[=[ mg.loggers.CSVLogger(path, { columns, append = false })

Writes rows of named values into a CSV file, a line for each logger:log{ … }. Every line is in the file when the call returns.

Options:
  columns: their names in order; those of the first row unless given, step and epoch first and the others by alphabet
  append = false: whether to go on with a file that there is

Example:
  local path = os.tmpname()
  local logger <close> = mg.loggers.CSVLogger(path)
  for epoch = 1, 3 do logger:log { epoch = epoch, loss = 1 / epoch } end
  for line in io.lines(path) do print(line) end
]=]
function mg.loggers.CSVLogger(path, ...)
  files "CSVLogger"
  local set = options("CSVLogger", { { "columns" }, { "append", false } }, ...)
  return native.csv_logger(path, set.columns, set.append)
end
