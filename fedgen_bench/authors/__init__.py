"""Names for authors of claims, engines and table formats, beside those of `fedgen_bench`, which all plugins need."""
