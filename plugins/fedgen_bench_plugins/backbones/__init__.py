"""Pretrained models: loading them by name, and the recipes that make the shipped ones."""
