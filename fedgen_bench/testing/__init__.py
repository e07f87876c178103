"""For authors of plugins: contract tests and a toy world, shipped in the wheel."""
