table.sort({1, 2, 3, 4}, function() while true do end end)
