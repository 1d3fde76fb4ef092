-- Writes random programs over all that scripts can call: source(seed) is a program's text, always the same one.
--
-- What there is to call, and with what, is read from the library's own help: `texts` has what mg.help prints of each name, after a line
-- with "\1" and the name. So what is new is tried as soon as it has a text. Arguments are mostly of the kind that the text asks for, of
-- few sizes so that they often fit together, and else anything at all.
local texts = ...

local random = math.random
local function pick(list) return list[random(#list)] end
local function chance(p) return random() < p end

-- MARK: What there is to call

-- What stands for the objects of each class.
local selves = {
  Tensor = "tensor", Module = "module", Optimizer = "optimizer", Scheduler = "scheduler", DataLoader = "loader", Generator = "generator",
  Node = "node", Hook = "hook",
}
local entries, examples = {}, {}

local function kind_of(name, text)
  local words = {}
  for word in text:gmatch '"[%w_]+"' do words[#words + 1] = word end
  if text:find "^a dtype" then return "dtype" end
  if #words > 1 then return words end
  if text:find "tensor" then return text:find "list of" and "tensors" or "tensor" end
  if text:find "parameters" then return "parameters" end
  if text:find "module" then return "module" end
  if text:find "optimizer" then return "optimizer" end
  if text:find "function" then return "func" end
  if text:find "true or false" then return "boolean" end
  if text:find "whole number" then return text:find "list" and chance(0.5) and "sizes" or "whole" end
  if text:find "list" then return "sizes" end
  if text:find "number" then return "number" end
  if name:find "dim" or name:find "size" then return "whole" end
  if name == "f" or name == "fn" then return "func" end
  return "any"
end

for name, text in texts:gmatch "\1(%C+)\n([^\1]*)" do
  local class, method = name:match "^(%u%a+)%.([%w_]+)$"
  local entry = { name = name, arguments = {}, options = {} }
  if selves[class] then
    entry.self, entry.method = selves[class], method
    entry.field = not text:find("[:.]" .. method .. "%(")
  end
  for argument, rest in (text:match "\nArguments:\n(.-)\n\n" or ""):gmatch "  ([%w_]+): ([^\n]*)" do
    table.insert(entry.arguments, kind_of(argument, rest))
  end
  for option, rest in (text:match "\nOptions:\n(.-)\n\n" or ""):gmatch "  ([%w_]+)[^:\n]*: ([^\n]*)" do
    table.insert(entry.options, { option, kind_of(option, rest) })
  end
  if #entry.arguments == 0 then
    for argument in (text:match "^[^\n(]*%(([^\n]*)%)" or ""):gmatch "[%a_][%w_]*" do
      if #entry.arguments < 4 then table.insert(entry.arguments, kind_of(argument, "")) end
    end
  elseif entry.self == "tensor" and (text:match "\n(x:[^\n]*)" or text):find "^x:" and text:find "^mg" then
    table.remove(entry.arguments, 1)
  end
  entries[#entries + 1] = entry
  local example = text:match "\nExample:\n(.*)$"
  if example then examples[#examples + 1] = example end
end
table.sort(entries, function(a, b) return a.name < b.name end)
table.sort(examples)
assert(#entries > 800 and #examples > 800, #entries .. " entries")

-- Lua's own functions, with what each takes.
local standard = {}
for name, kinds in pairs {
  ["string.rep"] = "text whole text", ["string.format"] = "format any any any", ["string.find"] = "text pattern whole boolean",
  ["string.gsub"] = "text pattern replacement whole", ["string.gmatch"] = "text pattern", ["string.match"] = "text pattern whole",
  ["string.byte"] = "text whole whole", ["string.char"] = "whole whole whole", ["string.sub"] = "text whole whole", ["string.reverse"] = "text",
  ["string.pack"] = "packing any any any", ["string.unpack"] = "packing text whole", ["string.packsize"] = "packing", ["string.upper"] = "text",
  ["table.concat"] = "list text whole whole", ["table.insert"] = "list any any", ["table.remove"] = "list whole",
  ["table.move"] = "list whole whole whole list", ["table.sort"] = "list func", ["table.unpack"] = "list whole whole", ["table.pack"] = "any any",
  ["math.random"] = "whole whole", ["math.tointeger"] = "any", ["math.fmod"] = "number number", ["math.floor"] = "number",
  ["math.randomseed"] = "any any", ["math.max"] = "number any", ["math.ult"] = "whole whole", ["math.type"] = "any", ["utf8.char"] = "whole whole",
  ["utf8.codepoint"] = "text whole whole boolean", ["utf8.len"] = "text whole whole boolean", ["utf8.offset"] = "text whole whole",
  ["utf8.codes"] = "text boolean", ["coroutine.wrap"] = "func", ["coroutine.create"] = "func", ["coroutine.resume"] = "thread any any",
  ["coroutine.close"] = "thread", ["coroutine.status"] = "thread", ["coroutine.running"] = "", ["coroutine.isyieldable"] = "thread",
  ["coroutine.yield"] = "any any", ["os.date"] = "format whole", ["os.time"] = "any", ["os.difftime"] = "number number", ["os.clock"] = "",
  select = "whole any any", pcall = "func any any", xpcall = "func func any", error = "any whole", tostring = "any", tonumber = "text whole",
  setmetatable = "list metatable", getmetatable = "any", rawset = "list any any", rawget = "list any", rawlen = "list", rawequal = "any any",
  next = "list any", pairs = "any", ipairs = "any", load = "code text text list", collectgarbage = "word any", require = "text", print = "any any",
  warn = "text text", assert = "any any", type = "any", dofile = "text", ["debug.traceback"] = "any text whole", ["debug.getinfo"] = "any text",
  ["debug.sethook"] = "func text whole", ["debug.getlocal"] = "any whole", ["debug.upvalueid"] = "func whole", ["debug.getmetatable"] = "any",
} do
  local entry = { name = name, standard = true, arguments = {}, options = {} }
  for kind in kinds:gmatch "%S+" do table.insert(entry.arguments, kind) end
  standard[#standard + 1] = entry
end
table.sort(standard, function(a, b) return a.name < b.name end)

-- MARK: Values, as the text of expressions

local sizes                         -- of this program
local depth                         -- of expressions in each other
local values                        -- the kinds of the results that there are to use: V[1] …
local make = {}

local function value(kind)
  depth = depth + 1
  local text
  if type(kind) == "table" then
    text = pick(kind)
  elseif depth > 4 then
    text = "2"
  elseif #values > 0 and chance(kind == "any" and 0.4 or 0.3) and (kind == "any" or values[kind]) then
    text = ("V[%d]"):format(kind == "any" and random(#values) or pick(values[kind]))
  elseif chance(0.06) then
    text = make.hostile()
  else
    text = make[kind]()
  end
  depth = depth - 1
  return text
end

local function several(kind, least, most)
  local list = {}
  for i = 1, random(least, most) do list[i] = value(kind) end
  return table.concat(list, ", ")
end

local function quoted(text)
  return (("%q"):format(text):gsub("\n", "n"):gsub("[\128-\255]", function(byte) return ("\\%03d"):format(byte:byte()) end))
end

function make.size() return chance(0.9) and tostring(pick(sizes)) or value "whole" end
function make.sizes() return "{ " .. several("size", 0, 4) .. " }" end

function make.whole()
  if chance(0.8) then return tostring(pick { 1, 1, 1, 2, 2, 3, 4, 0, -1, -2, 5, 8 }) end
  return pick {
    "math.maxinteger", "math.mininteger", "1 << 31", "1 << 32", "1 << 40", "1 << 53", "1 << 62", "-(1 << 31)", "2.0", "1.5", "1e300", "100",
    "65536", "255", "1e6", "-math.maxinteger", "math.maxinteger - 1", "0/0",
  }
end

function make.number()
  if chance(0.2) then return value "whole" end
  return pick { "0.5", "1.0", "-1", "2", "1e-3", "0", "0.1", "0.9", "1e30", "-0.0", "0/0", "1/0", "-1/0", "1e-320", "math.pi", "1.5" }
end

function make.boolean() return pick { "true", "false", "nil" } end
function make.dtype()
  return pick { '"float32"', '"float64"', '"int64"', '"bool"', '"uint8"', '"int8"', '"int16"', '"int32"', '"float16"', '"bfloat16"', "mg.float64" }
end

function make.shape()
  local list = {}
  for i = 1, random(0, chance(0.2) and 6 or 3) do list[i] = pick(sizes) end
  return "{ " .. table.concat(list, ", ") .. " }"
end

function make.tensor()
  local shape = make.shape()
  local options = chance(0.5) and "" or ", { requires_grad = true }"
  local base = ("mg.randn(%s%s)"):format(shape, options)
  return pick {
    base, base, base, base, ("mg.ones(%s%s)"):format(shape, options), ("mg.zeros(%s, { dtype = %s })"):format(shape, make.dtype()),
    ("mg.randint(%d, %d, %s)"):format(random(-2, 1), random(2, 5), shape), ("mg.full(%s, %s)"):format(shape, make.number()),
    ("mg.tensor(%s)"):format(make.number()), ("mg.tensor{ %s }"):format(several("number", 0, 4)), ("(mg.randn(%s) :gt(0))"):format(shape),
    ("mg.arange(%d)"):format(random(0, 12)), ("(%s * 2)"):format(base), ("mg.randn(%s):t()"):format("2, 3"), ("mg.ones(1):expand(%d, %d)"):format(
      pick(sizes), pick(sizes)), "mg.ones(1):expand(1 << 33)", "mg.ones(1):expand(1 << 20, 1 << 20)", ("mg.randn(6, 8)[{ { 2, 5, 2 }, {} }]"),
    ("mg.randn(%s):to(%s)"):format(shape, make.dtype()), "mg.randn(2, 2, 3, 3)", "mg.randn(1, 2, 8)", "mg.zeros(0, 3)", "mg.zeros(0)",
    "mg.randn(3, 3)", "mg.nn.Parameter(mg.randn(2, 2))", "mg.as_strided(mg.randn(9), { 3, 3 }, { 1, 2 })",
  }
end

function make.tensors() return pick { "{ ", "{ ", "" } == "" and value "tensor" or "{ " .. several("tensor", 0, 3) .. " }" end

function make.module()
  return pick {
    "mg.nn.Linear(2, 3)", "mg.nn.Linear(3, 3)", "mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.ReLU(), mg.nn.Linear(4, 2))", "mg.nn.BatchNorm1d(3)",
    "mg.nn.Conv2d(2, 3, 2)", "mg.nn.Conv1d(2, 2, 3, { padding = 1 })", "mg.nn.Dropout(0.5)", "mg.nn.GRU(3, 2)", "mg.nn.LSTM(3, 2, 2)",
    "mg.nn.Embedding(4, 3)", "mg.nn.MultiheadAttention(4, 2)", "Net()", "Net()", "mg.nn.ModuleList{ Net(), mg.nn.Linear(1, 1) }",
    "mg.nn.ModuleDict{ a = Net() }", "mg.nn.LayerNorm(3)", "mg.nn.MSELoss()", "mg.nn.CrossEntropyLoss()", "mg.nn.Softmax(1)", "mg.nn.Identity()",
  }
end

function make.parameters() return pick { value "module" .. ":parameters()", "{ mg.randn(2, { requires_grad = true }) }", make.tensors() } end
function make.optimizer()
  return ("mg.optim.%s(%s, { lr = %s })"):format(pick { "SGD", "Adam", "AdamW", "RMSprop", "LBFGS", "Adagrad", "Muon", "Rprop" },
    value "parameters", make.number())
end
function make.scheduler()
  return pick { "mg.optim.lr_scheduler.StepLR(%s, %s)", "mg.optim.lr_scheduler.LambdaLR(%s, function() return %s end)",
    "mg.optim.lr_scheduler.CosineAnnealingLR(%s, %s)" }:format(make.optimizer(), value "number")
end
function make.loader()
  return ("mg.data.DataLoader(mg.data.TensorDataset(%s), { batch_size = %s, shuffle = %s })"):format(value "tensor", value "whole", make.boolean())
end
function make.generator() return ("mg.Generator():manual_seed(%s)"):format(value "whole") end
function make.node() return ("(%s * 2).grad_fn"):format(value "tensor") end
function make.hook() return ("%s:register_hook(%s)"):format(value "tensor", value "func") end

function make.func()
  return pick {
    "function(...) return ... end", "function(x) return (x * x):sum() end", "function(x, y) return x * 2, y end", "function() end",
    'function() error "raised" end', "function() error({}) end", "function() error(nil) end", "function() coroutine.yield(1) end", "function(x) return x < 1 end",
    "function(x) if type(x) ~= 'number' then x:free() end return x end", "mg.sum", "mg.relu", "string.rep", "print", "function(x) x:add_(1) return x end",
    "function(x) V[1] = x return V[2] end", "function(x) return x:backward() end", "coroutine.wrap(function(x) while true do x = coroutine.yield(x) end end)",
    "function(a, b) return true end", "function() return Self end", "function(x) Count = Count + 1 if Count < 50 then return Again(x) end return x end",
    ("function(x) return %s end"):format(value "any"), ("function(x) return mg.%s(x) end"):format(pick { "exp", "sum", "clone", "sort", "qr", "cumsum", "tril" }),
  }
end

function make.text()
  return pick {
    '"a"', '""', '"abc"', '("x"):rep(1000)', '"\\0b\\0"', '"\\xff\\xfe"', '"moongrad"', '"%d%s"', '"1e5"', '"0x7f"', '"n"', '"sum"', '"0.weight"',
    '"*"', '"mean"', '"(((("', '"l"', '("ab"):rep(1 << 20)', '"nan"', '"/etc/passwd"', '"\\27[2J"', '"__index"', '"a.b.c"', quoted(string.char(random(0, 255), random(0, 255))),
  }
end
function make.word() return pick { '"collect"', '"count"', '"step"', '"generational"', '"incremental"', '"stop"', '"isrunning"', '"setpause"' } end
function make.pattern()
  local parts = { ".", "%a", "(", ")", "[", "]", "*", "-", "+", "?", "%f[a]", "%b()", "%1", "()", "^", "$", "x", ".-", "%", "[^%z]", "\0" }
  local list = {}
  for i = 1, random(1, 6) do list[i] = pick(parts) end
  return quoted(table.concat(list))
end
function make.replacement() return chance(0.5) and value "text" or value(pick { "func", "list" }) end
function make.format()
  local list = {}
  for i = 1, random(1, 3) do list[i] = pick { "%d", "%s", "%q", "%5.2f", "%99d", "%.99f", "%a", "%c", "%i", "%x", "%", "%p", "%-+ #0s", "%Y", "%Ez", "%100s", "%g" } end
  return quoted(table.concat(list))
end
function make.packing()
  local list = {}
  for i = 1, random(1, 3) do list[i] = pick { "i4", "i16", "I17", "s", "s1", "z", "d", "<", ">", "!16", "Xi4", "c3", "c2147483647", "j", "B", "x", " ", "n" } end
  return quoted(table.concat(list))
end
function make.code()
  return pick { '"return 1"', '"return ..."', '"x ="', '"\\27Lua"', '("("):rep(300)', '("x = 1 "):rep(1000)', '"goto a"', "function() return nil end",
    "function() return 'x = 1 ' end", '"local x <close> = 1"' }
end
function make.thread() return pick { ("coroutine.create(%s)"):format(value "func"), "coroutine.running()" } end
function make.list() return pick { "{ 1, 2, 3 }", "{ 3, 1, 2, 'a' }", "{}", ("{ %s }"):format(several("any", 0, 4)), ("{ a = %s }"):format(value "any"), "Self", "Long" } end

function make.metatable()
  local list = {}
  for i = 1, random(1, 3) do
    list[i] = ("%s = %s"):format(pick {
      "__index", "__newindex", "__len", "__call", "__eq", "__lt", "__le", "__concat", "__tostring", "__name", "__close", "__pairs", "__metatable", "__mode", "__add",
      "__unm", "__gc",
    }, value(pick { "func", "any", "list" }))
  end
  return "{ " .. table.concat(list, ", ") .. " }"
end

function make.hostile()
  return pick {
    "nil", "0/0", "math.maxinteger", "math.mininteger", "2^53", "-1", "1e308", "{}", "Self", "Long", "''", "'\\0'", "print", "mg", "mg.nn", "V",
    "_G", "coroutine.create(print)", "setmetatable({}, { __len = function() return math.maxinteger end })", "Lying", "mg.zeros(0)", "mg.tensor(0/0)",
    "setmetatable({}, { __index = function() return 1 end })", "setmetatable({}, { __index = function() error 'no' end })",
    "setmetatable({}, { __index = function() coroutine.yield() end, __len = function() coroutine.yield() end })",
    "setmetatable({ 1, 2 }, { __tostring = function() return 1 end, __name = 7 })", "{ requires_grad = 1, dtype = {}, [1] = 'x' }", "Freed",
    "mg.ones(1):expand(1 << 40)", "mg.ones(3)[2]", "('x'):rep(1 << 16)", "{ { 1, 2 }, { 3 } }", "{ 1, nil, 3 }", "{ [1 << 40] = 1 }", "true", "function() error 'no' end",
    "mg.nn.Linear", "mg.optim.SGD", "getmetatable('')", "Net", "mg.nn.Sequential()",
  }
end

local all = {
  "whole", "number", "boolean", "tensor", "tensor", "tensors", "module", "func", "text", "list", "sizes", "hostile", "optimizer", "generator", "dtype",
}
function make.any() return value(pick(all)) end

-- MARK: Statements

local function arguments(entry)
  local list = {}
  for i, kind in ipairs(entry.arguments) do
    if i > 2 and chance(0.3) then break end
    list[i] = value(kind)
  end
  if #entry.options > 0 and chance(0.5) then
    local options = {}
    for i = 1, random(1, 3) do
      local option = pick(entry.options)
      options[i] = ("%s = %s"):format(option[1], value(option[2]))
    end
    list[#list + 1] = "{ " .. table.concat(options, ", ") .. " }"
  end
  if chance(0.05) then table.insert(list, random(#list + 1), value "any") end
  if chance(0.05) then table.remove(list, 1) end
  return table.concat(list, ", ")
end

local function path(entry)
  if entry.standard then return entry.name end
  return ("mg." .. entry.name):gsub("%.repeat$", '["repeat"]')
end

-- What a call is likely to give.
local function result(entry)
  if entry.standard then return "any" end
  if entry.name:find "^nn%.%u" then return "module" end
  if entry.name:find "^optim%.%u" then return "optimizer" end
  return entry.name:find "lr_scheduler%.%u" and "scheduler" or "tensor"
end

local function call()
  local entry = chance(0.2) and pick(standard) or pick(entries)
  if entry.self then
    local self = value(entry.self)
    if self:find "^[{\"'%d-]" or self:find "^function" then self = "(" .. self .. ")" end
    if entry.field then return ("return %s.%s"):format(self, entry.method) end
    if entry.method == "repeat" then return ('return %s["repeat"](%s, %s)'):format(self, self, arguments(entry)) end
    return ("return %s:%s(%s)"):format(self, entry.method, arguments(entry)), entry.self == "tensor" and "tensor" or nil
  end
  local made = ("%s(%s)"):format(path(entry), arguments(entry))
  -- Losses and layers are called in their turn.
  if entry.name:find "^nn%.%u" and chance(0.7) then return ("return %s(%s)"):format(made, several("tensor", 1, 2)), "tensor" end
  return "return " .. made, result(entry)
end

-- An example of the help's with some words changed.
local function example()
  return (pick(examples):gsub("%f[%w_.][%d.]+%f[^%w_.]", function(word) return chance(0.3) and "(" .. value(pick { "whole", "number", "any" }) .. ")" or word end))
end

local function operation()
  local a, b = "(" .. value "any" .. ")", "(" .. value "any" .. ")"
  local operator = pick { "+", "-", "*", "/", "//", "%", "^", "..", "==", "<", "<=", "&", "|", "~", "<<", ">>" }
  return pick {
    ("return %s %s %s"):format(a, operator, b), ("return #%s"):format(a), ("return -%s"):format(a), ("return %s[%s]"):format(a, value "any"),
    ("return %s(%s)"):format(a, several("any", 0, 3)), ("%s[%s] = %s"):format(";" .. a, value "any", value "any"), ("return tostring(%s)"):format(a),
    ("for k, v in pairs(%s) do V[1] = v break end"):format(a), ("return %s[{ %s }]"):format("(" .. value "tensor" .. ")", several("index", 0, 3)),
    (";(%s)[{ %s }] = %s"):format(value "tensor", several("index", 0, 3), value "any"), ("return (%s):%s()"):format(value "tensor", pick { "sum", "mean", "backward", "free" }),
    ("mg[%s] = %s"):format(value "text", value "any"), ("local a <close> = %s"):format(value "any"), ("print(%s)"):format(several("any", 1, 2)),
    ("(%s):sum():backward()"):format(value "tensor"):gsub("^", ";"), ("for x in (%s):parameters() do x.grad = %s end"):format(value "module", value "tensor"),
    ("V[1].%s = %s"):format(pick { "grad", "data", "requires_grad", "forward", "weight", "training", "bias", "x" }, value "any"),
  }
end
function make.index() return pick { "1", "-1", "2", "{}", "{ 1, 2 }", "{ 2, 1, -1 }", "nil", "true", "false", "mg.tensor{ 1, 2 }", value "whole", "'...'", value "any", "mg.tensor{ true, false }" } end

-- What is done, and where: most of it by itself. %s stands for the statement, which gives V an element and returns nothing.
local around = {
  "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s", "%s",
  "coroutine.wrap(function() %s end)()",
  "mg.no_grad(function() %s end)",
  "mg.inference_mode(function() %s end)",
  "mg.catch_warnings(function() %s end)",
  "mg.autograd.detect_anomaly(function() %s end)",
  "return mg.func.vmap(function(x) V[3] = x * x %s return x + 1 end, { randomness = 'different' })(mg.randn(3, 3))",
  "return mg.func.vmap(mg.func.grad(function(x) V[1] = x %s return (x * x):sum() end), { randomness = 'same' })(mg.randn(3, 3))",
  "return mg.func.grad(function(x) V[2] = x * 2 %s return V[2]:sum() end)(mg.randn(2, 2))",
  "return mg.func.jvp(function(x) V[4] = x:exp() %s return V[4] end, { mg.randn(2, 2) }, { mg.ones(2, 2) })",
  "return mg.func.jacrev(function(x) V[4] = x:exp() %s return V[4] end)(mg.randn(2, 2))",
  "mg.checkpoint(function(x) V[2] = x %s return x * x end, mg.randn(2, { requires_grad = true })):sum():backward()",
  "local c <close> = setmetatable({}, { __close = function() %s end })",
  "for i = 1, 20 do pcall(function() %s end) end",
  "local x = mg.randn(2, { requires_grad = true }) x:register_hook(function(g) V[5] = g %s end) (x * x):sum():backward()",
  "table.sort({ 3, 1, 2 }, function() %s end)",
  "string.gsub('abc', '.', function() %s end)",
  "local h <close> = mg.autograd.saved_tensors_hooks(function(x) V[6] = x return x end, function(x) return x end) %s",
  "local h <close> = mg.autograd.saved_tensors_hooks(function(x) return x end, function(x) %s return x end) (V[1] * V[2]):sum():backward()",
  "local F = mg.autograd.Function{ forward = function(c, x) c:save_for_backward(x) %s return x * 2 end, backward = function(c, g) return g end } "
    .. "F.apply(mg.randn(2, { requires_grad = true })):sum():backward()",
  "local F = mg.autograd.Function{ forward = function(c, x) return x:clone() end, backward = function(c, g) V[3] = g %s return g end } "
    .. "F.apply(mg.randn(2, { requires_grad = true })):sum():backward()",
  "function Net:forward(x) V[7] = x %s return x end Net()(mg.ones(3))",
  "function Net:init() self.a = mg.nn.Linear(2, 2) %s end Net()",
  "local n = mg.nn.Linear(2, 2) n:register_forward_hook(function(m, x, y) V[8], V[9] = m, y %s end) n(mg.ones(1, 2)):sum():backward()",
  "local o = mg.optim.SGD({ V[1] }, { lr = 1 }) o:step(function() %s return V[1]:sum() end)",
  "setmetatable(V, { __index = function() %s return 1 end })",
}
local forever = "while true do pcall(function() %s end) end"

local head = [[
local mg = require "moongrad"
local Count, Self, Long, Freed, Net = 0, {}, {}, mg.ones(2), mg.nn.Module "Net"
local V = setmetatable({}, { __index = function(V, i) return math.type(i) and rawget(V, i - 1) or mg.randn(3, 3, { requires_grad = true }) end })
Self[1], Self.self = Self, Self
for i = 1, 3000 do Long[i] = i end
Freed:free()
local Lying = setmetatable({}, { __len = function() return 1 << 40 end, __index = function(_, i) return i end })
function Net:init() self.a = mg.nn.Linear(3, 3) self.p = mg.nn.Parameter(mg.ones(3)) end
function Net:forward(x, ...) return self.a(x) * self.p, ... end
local Again
local function try(i, f, problem)
  if not f then print(i, problem) return end
  Again = f
  local ok, result = pcall(f)
  if ok and result ~= nil then V[i] = result end
end
]]

return function(seed)
  math.randomseed(seed)
  sizes, depth, values = { 1, random(0, 3), random(2, 4), 3 }, 0, {}
  local lines = { head }
  for i = 1, random(3, 12) do
    local dice = random()
    local body, kind
    if dice < 0.7 then body, kind = call() elseif dice < 0.88 then body = operation() else body = example() end
    body = body:gsub("^return ", ("V[%d] = "):format(i))
    local place = chance(0.002) and forever or pick(around)
    if place ~= "%s" then kind = nil end
    body = place:gsub("%%s", function() return "do " .. body .. "\nend" end)
    lines[#lines + 1] = ("try(%d, function() %s\nend)"):format(i, body)
    values[i] = true
    kind = kind or "any"
    values[kind] = values[kind] or {}
    table.insert(values[kind], i)
  end
  return table.concat(lines, "\n")
end
