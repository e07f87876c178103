"""Built-in attacks, one file each."""
