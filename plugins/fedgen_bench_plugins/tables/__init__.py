"""Built-in tables, one file each."""
