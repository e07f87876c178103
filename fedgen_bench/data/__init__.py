"""Data sets: where they are looked for, what they must hash to, and text that is generated."""
