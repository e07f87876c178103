"""Records -> results.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedgen_bench.results.published.schema import KNOWN
from fedgen_bench.results.record import Record, to_json

if TYPE_CHECKING:
    from fedgen_bench.suite.schema import SuiteSpec


def results_text(suite: SuiteSpec, suite_text: str, records: Sequence[Record]) -> str:
    """The published results: what `build_table` needs, as stable JSON."""
    ordered = sorted(records, key=lambda one: (one.contender, one.off_suite, one.seed))
    body = {
        "schema": KNOWN,
        "suite": suite.suite.name,
        "version": suite.suite.version,
        "suite_text": suite_text,
        "records": [to_json(record) for record in ordered],
    }
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
