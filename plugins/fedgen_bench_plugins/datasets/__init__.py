"""What our tasks read or generate: data sets by file and hash, how their files are read, and generated ones."""
