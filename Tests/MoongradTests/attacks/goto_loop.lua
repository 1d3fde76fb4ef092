::again:: pcall(error) goto again
