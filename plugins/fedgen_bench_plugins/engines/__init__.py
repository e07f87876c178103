"""Built-in engines, one file each."""
