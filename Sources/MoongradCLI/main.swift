print("moongrad")
