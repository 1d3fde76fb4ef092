warn('') warn('', '') coroutine.wrap(warn)('') warn('a')
