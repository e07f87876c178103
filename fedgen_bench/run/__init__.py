"""Cells of a suite over processes."""
