"""From published folders to pages that open anywhere: tables, drawings and claims as one static site."""
