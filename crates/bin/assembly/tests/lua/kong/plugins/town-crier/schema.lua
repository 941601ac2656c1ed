return { name = "town-crier", fields = { { config = { type = "record", fields = {} } } } }
