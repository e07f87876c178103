"""KeyError: 'perplexity'"""

from __future__ import annotations

from fedgen_bench import hookimpl


@hookimpl
def after_round(run, report):
    print(report.metrics["perplexity"])  # here
