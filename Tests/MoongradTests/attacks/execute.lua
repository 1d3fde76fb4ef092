os.execute 'true'
