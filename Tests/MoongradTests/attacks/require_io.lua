require('io').open('/etc/passwd')
