string.pack('c1000000000', '')
