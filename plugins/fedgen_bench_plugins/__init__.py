"""FedGen-Edge, and every component but its baselines in the headline suites: plugins like anybody else's."""
