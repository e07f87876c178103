"""The baselines that FedGen-Edge is compared with, and the suites that compare them."""
