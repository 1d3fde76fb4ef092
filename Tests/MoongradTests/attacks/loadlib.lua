package.loadlib('x', '*')
