"""Engines run pure client tasks and return outcomes in client-id order."""
