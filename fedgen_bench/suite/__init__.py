"""From the text of a suite to its cells."""
