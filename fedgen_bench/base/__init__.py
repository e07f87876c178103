"""Tools that know nothing of federated learning: errors, files, statistics, processes, guards."""
