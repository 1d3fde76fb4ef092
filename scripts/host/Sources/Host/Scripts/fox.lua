-- A mod: a player's script that steers the fox. It sees the world, cannot change it, and is not to be trusted.
function steer(world)
  -- Somebody's mistake, or malice.
  if world.ticks > 500 then
    while true do pcall(function() while true do end end) end
  end
  local dx, dy = world.hare.x - world.fox.x, world.hare.y - world.fox.y
  if math.abs(dx) > math.abs(dy) then return dx > 0 and move.east or move.west end
  return dy > 0 and move.south or move.north
end
