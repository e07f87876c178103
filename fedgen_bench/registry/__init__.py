"""Plugins found, checked and named."""
