require 'debug'
