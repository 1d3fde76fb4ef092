error { code = 2 }
