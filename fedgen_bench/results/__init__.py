"""From rounds to records, tables and published folders."""
