"""Trackers: observers that `--tracker NAME` alone loads. Each is whole in its file and imports its library late."""
