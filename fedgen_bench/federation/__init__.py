"""From one cell to its rounds: clients, messages, training, aggregation."""
