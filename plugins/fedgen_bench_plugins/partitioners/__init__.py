"""Built-in partitioners, one file each."""
