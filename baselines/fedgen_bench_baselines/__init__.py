"""What FedGen-Edge is compared with in the headline suites, these suites, and the reference rows."""
