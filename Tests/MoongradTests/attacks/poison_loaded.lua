package.loaded.moongrad = 1 package.preload.moongrad = error require 'moongrad'
