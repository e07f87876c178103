"""What authors of plugins meet: specs, messages, protocols, hooks, and helpers for methods."""
