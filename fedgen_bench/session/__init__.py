"""One front door: what every command does, as one call, the same from Python and the command line."""
