"""What is said of FedGen-Edge, each claim judged in a file of its own."""
