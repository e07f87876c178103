"""The claim that adapters give away less: judged where secrets were planted, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fedgen_bench_plugins.claims import privacy
from made_claims import main_evidence, sheet
from made_claims import runs as made_runs

from fedgen_bench.base.errors import PluginError
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.results.leaks import Exposed, Leaks
from fedgen_bench.review.claims import judging
from fedgen_bench.review.claims.evidence import Evidence


def leaks(bits, update, seed):
    def of(*values, extracted=False):
        return Exposed(
            bits=tuple(values), calibrated=tuple(values),
            extracted=tuple(None if one is None else extracted for one in values),
        )  # fmt: skip

    return Leaks(
        owners=(3, 5), n_candidates=255, space_bits=20.0,
        secrets={"global": of(bits + seed / 100, bits), "update": of(update + seed / 100, None, extracted=update > 5)},
        controls={"global": of(1.5, 1.3)},
    )  # fmt: skip


def evidence(registry, ours, theirs):
    records = [
        replace(record, leaks=leaks(*figures, record.seed))
        for name, figures in (("fedgen_edge", ours), ("fedavg", theirs))
        for record in made_runs(name, (0.5, 0.51, 0.52))
    ]
    return Evidence(sheet(registry, records), {})


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((2.0, 4.0), (3.0, 7.0), "holds"),
        ((3.0, 4.0), (2.0, 7.0), "does not hold"),
        ((2.0, 4.0), (2.0, 7.0), "not decided"),
    ],
)
def test_verdict_is_by_the_global_model_and_by_updates(registry, ours, theirs, verdict):
    found = privacy.judge(evidence(registry, ours, theirs))
    assert found.verdict == verdict
    assert "8 bits at most" in found.method
    assert len(found.grids[0].rows) == 2


def test_all_contenders_stand_in_the_table(registry):
    (row, other) = privacy.judge(evidence(registry, (2.0, 4.0), (3.0, 7.0))).grids[2].rows
    assert row == ("fedgen_edge", "0.51", "–", "2.01", "2.02", "1.4", "4.02", "–", "–", "2.01", "0 %", "0 %")
    assert other[0] == "fedavg"
    assert other[-1] == "100 %"


def test_where_nothing_was_planted_there_is_no_section(registry):
    main = main_evidence(registry)
    assert privacy.judge(main).verdict == "no evidence"
    assert "9" not in judging.judged(main, registry)
    assert "9" in judging.judged(evidence(registry, (2.0, 4.0), (3.0, 7.0)), registry)


def test_a_claim_that_cannot_say_whom_it_concerns_is_blamed(registry):
    def fails(_):
        raise KeyError("bits")

    claim = ClaimSpec(name="odd", summary="", number="90", judge=privacy.judge, concerns=fails)
    with pytest.raises(PluginError, match="`concerns` of claim `odd` failed: KeyError"):
        judging._concerned(claim, main_evidence(registry))
