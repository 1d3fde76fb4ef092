rawset(_G, 'tostring', error) print(1) for k in pairs(_G) do _G[k] = nil end error 'gone'
