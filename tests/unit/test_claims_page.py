"""Pages of claims: views beside the verdicts, charts, order, and judges that fail."""

from __future__ import annotations

import csv
import io
import re
import sys
from pathlib import Path

import pytest
from made_claims import main_evidence, record, runs, sheet

from fedgen_bench.base.errors import PluginError, StoreError
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.specs import Provenance
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registered, Registry
from fedgen_bench.results.files import CLAIMS
from fedgen_bench.review.claims import charts, reasons, views
from fedgen_bench.review.claims.charts import as_csv, as_svg
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.review.claims.findings import Chart, Finding, Point
from fedgen_bench.review.claims.judging import claims_of, judged, written
from fedgen_bench.review.claims.page import page_files
from fedgen_bench.testing import contracts_of, toy


def test_simulated_round_adds_transfers_and_steps():
    device = EdgeDevice(up_bits_per_second=8000, down_bits_per_second=16000, step_seconds=0.25)
    # 1000 bytes up at 1000 bytes/s, 1000 down at 2000, 4 steps of 0.25 s.
    assert device.round_seconds(record("fedavg", 1, 0.5, (1.0, 0.5))) == pytest.approx(1 + 0.5 + 1)


def test_budget_view_shows_what_fits_and_marks_the_best(registry):
    view = views.quality_under_budget(main_evidence(registry).main)
    rows = {row[0]: dict(zip(view.grid.head, row, strict=True)) for row in view.grid.rows}
    assert rows["fedavg"]["100 B"] == "–"
    assert rows["fedgen_edge"]["10 B"] == "**0.602**"  # two rounds of 5 bytes
    assert rows["fedavg"]["1 kB"] == "1.002"


def test_cost_view_has_a_dash_where_a_seed_never_gets_there(registry):
    view = views.cost_to_target(main_evidence(registry).main, EdgeDevice())
    last = {row[1]: row for row in view.grid.rows}
    assert last["fedavg"][2:] == ("–", "–", "–")
    assert last["fedgen_edge"][2] == "15 B"


def test_reasons_compare_with_the_same_adapter_on_all_data(registry):
    pooled = runs("centralized", (0.4, 0.41, 0.42), kind="pooled", curve=())
    evidence = main_evidence(registry)
    view = reasons.gap(Evidence(sheet(registry, [*evidence.main.records, *pooled]), {}))
    assert [row[0] for row in view.grid.rows][
        -1
    ] == "what federation costs the full model: `fedavg` against `centralized`"
    assert view.grid.rows[-1][-1] == "worse"


def test_chart_data_are_what_is_drawn():
    chart = Chart(
        name="c",
        title="t",
        x_label="x",
        y_label="y",
        series=(("a", (Point(1.0, 2.0, 1.5, 2.5),)), ("b", ())),
        log_x=True,
    )
    assert list(csv.reader(io.StringIO(as_csv(chart))))[1] == ["a", "1.0", "2.0", "1.5", "2.5"]
    assert as_svg(chart) == as_svg(chart)
    assert "<svg" in as_svg(chart)


def test_an_axis_of_rounds_has_no_parts_of_rounds(monkeypatch):
    seen = []
    monkeypatch.setattr(charts, "name_ends", lambda axes, ends: seen.append((axes.get_xticks(), ends)))
    curve = tuple(Point(x, 1.0, 1.0, 1.0) for x in (2.0, 4.0, 6.0))
    as_svg(Chart(name="c", title="t", x_label="rounds", y_label="y", series=(("a", curve),)))
    ((ticks, _),) = seen
    assert [x % 1 for x in ticks] == [0.0] * len(ticks)


def test_page_has_every_claim_and_links_only_files_that_it_writes(registry):
    evidence = main_evidence(registry)
    files = written(evidence, registry)
    page = files[CLAIMS].decode()
    for number in ("1", "2a", "2b", "3", "4", "5", "6", "7"):
        assert f"\n## {number}. " in page
    linked = {part.split(")")[0] for part in page.split("](")[1:]}
    assert linked == files.keys() - {CLAIMS}
    assert files == written(evidence, registry)


# --- claims that plugins bring -------------------------------------------------------------------------------------


def claim(number, judge=lambda _: None, name="own"):
    return Registered(ClaimSpec(name=name, summary="", number=number, judge=judge), Provenance("mine", "1"))


def with_claims(*claims):
    return Registry({"claim": {one.spec.name: one for one in claims}}, ())


def test_claims_stand_in_the_order_of_their_numbers(registry):
    assert [one.number for one in claims_of(registry)] == ["1", "2a", "2b", "3", "4", "5", "6", "7", "9", "10"]
    numbers = ("10", "2b", "2", "x", "9")
    found = claims_of(with_claims(*(claim(number, name=f"claim-{number}") for number in numbers)))
    assert [one.number for one in found] == ["x", "2", "2b", "9", "10"]


def test_a_claim_with_a_taken_number_is_left_out_and_the_others_live(tmp_path):
    plugin = tmp_path / "second.py"
    plugin.write_text(
        "from fedgen_bench import ClaimSpec, hookimpl\n\n@hookimpl\ndef register_claims():\n"
        "    return [ClaimSpec(name='second', summary='', number='3', judge=lambda evidence: None)]\n"
    )
    known = load_registry([plugin], environ={})
    assert "claim `second` has number 3 of claim `convergence`; renumber one of them" in known.failures[0].reason
    assert [one.number for one in claims_of(known)] == ["1", "2a", "2b", "3", "4", "5", "6", "7", "9", "10"]


def test_a_judge_that_fails_is_blamed_by_name(registry):
    evidence = main_evidence(registry)
    with pytest.raises(PluginError, match=r"of claim `own` failed: KeyError: 'gone' \(test_claims_page\.py:\d+\)"):
        judged(evidence, with_claims(claim("8", judge=lambda _: {}["gone"])))
    with pytest.raises(PluginError, match=r"of claim `own` raised SystemExit: 0 \(test_claims_page\.py:\d+\)"):
        judged(evidence, with_claims(claim("8", judge=lambda _: sys.exit(0))))
    odd = Finding(title="", claim="", verdict="banana", method="", reading="")
    with pytest.raises(PluginError, match=r"verdict 'banana'\. Give one of holds, "):
        judged(evidence, with_claims(claim("8", judge=lambda _: odd)))
    with pytest.raises(PluginError, match="returned a NoneType, expected a Finding"):
        judged(evidence, with_claims(claim("8")))
    with pytest.raises(StoreError, match="Claim 8 cannot be judged from the published numbers of `toy`"):
        judged(evidence, with_claims(claim("8", judge=lambda _: 1 / 0)))


@pytest.mark.parametrize("name", ["quality_by_rounds", "../escape", ""])
def test_a_chart_s_name_is_its_own_and_stays_in_the_folder(registry, monkeypatch, name):
    monkeypatch.setattr("fedgen_bench.review.claims.page.as_svg", lambda _: "")
    charts = [Chart(name=one, title="", x_label="", y_label="", series=()) for one in ("quality_by_rounds", name)]
    finding = Finding(title="", claim="", verdict="holds", method="", reading="", charts=tuple(charts))
    with pytest.raises(PluginError, match="taken, or no name"):
        page_files(main_evidence(registry), {"8": finding}, [])


def test_the_guide_s_claim_stands_last_on_the_page(registry, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    plugin = tmp_path / "worst_client.py"
    source = re.search(r"```python\n(\"\"\"Everybody's worst client.*?)```", page, flags=re.DOTALL).group(1)
    plugin.write_text(source, encoding="utf-8")
    known = load_registry([plugin, toy.__file__], environ={})
    assert list(judged(main_evidence(registry), known))[-1] == "8"
    (contract,) = (one for one in contracts_of(known, names={"claim/worst-client"}) if one.check == "check_rehearsal")
    contract()
