-- The globals of a script that has its own: under them it finds those of the session. What it loads runs in them too.

local globals, load, loadfile, error, select, setmetatable = ..., load, loadfile, error, select, setmetatable

return function()
  local own = {}
  own._G = own

  function own.load(...) return load_in(own, load, ...) end

  function own.loadfile(name, mode, ...)
    local environment = own
    if select("#", ...) > 0 then environment = ... end
    return loadfile(name, mode, environment)
  end

  function own.dofile(name)
    local chunk, problem = loadfile(name, nil, own)
    if not chunk then error(problem, 0) end
    return chunk()
  end

  return setmetatable(own, { __index = globals })
end
