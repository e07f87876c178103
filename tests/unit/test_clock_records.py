"""Simulated times in records, tables and checks of published folders."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest

from fedgen_bench.contract.reports import LATE, Quarantine, RoundClock, RoundReport, TimedClient
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.registry.datasets import Places
from fedgen_bench.results.clock import Clock, clock_table
from fedgen_bench.results.details import read_messages
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.manifest import write_manifest
from fedgen_bench.results.publish import publish
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.results.tiers import Tier
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.comparison import compare_records
from fedgen_bench.review.validation import validate
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.site.building import _elapsed
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

DEVICES = """
[[contender]]
name = "fedbuff"
strategy = { name = "fedbuff" }
adapter = { name = "full" }
learning_rate = 0.2
[devices]
first = 2
[[devices.classes]]
name = "fast"
share = 0.5
flops = 1e9
down = 1e6
up = 1e6
availability = 0.8
watts = 2.0
[[devices.classes]]
name = "slow"
share = 0.5
flops = 1e9
down = 90.0
up = 90.0
watts = 1.0
radio_watts = 0.5
"""


@pytest.fixture(scope="module")
def published(registry, tmp_path_factory):
    """A published folder of the toy suite with devices, and its suite."""
    out = tmp_path_factory.mktemp("clocked")
    text = toy.SUITE.replace('name = "toy"', 'name = "toy-clocked"', 1).replace("n_clients = 6", "n_clients = 4")
    text += DEVICES
    source = SuiteSource(name="toy-clocked", text=text, path="toy.toml")
    suite = load_suite(source, registry)
    with Store(out / "runs") as store:
        job = Job(out / "runs", Places(), "cpu", registry.plugin_files)
        run_cells(expand(suite, registry), registry, job, store, workers=1, on_event=lambda _: None)
        publish(source, suite, registry, store, out)
    return out / "toy-clocked", suite


@pytest.fixture
def folder(published, tmp_path):
    """A copy of it to be damaged."""
    return shutil.copytree(published[0], tmp_path / "toy-clocked")


def test_records_tell_simulated_times_of_those_who_are_asked(published):
    records = {(one.contender, one.seed): one for one in open_folder(published[0]).records}
    one = records["fedavg", 1]
    assert len(one.clock.rounds) == one.config.federation.rounds
    assert one.clock.seconds == pytest.approx(sum(one.clock.rounds))
    assert {code for *_, code in one.clock.missed} >= {LATE}
    assert 0 < one.clock.wasted_down < one.bytes.down.encoded
    assert one.costs.joules_so_far == tuple(sorted(one.costs.joules_so_far))
    assert records["fedavg", 1].clock.missed != records["fedavg", 2].clock.missed
    assert records["centralized", 1].clock is None


def test_a_rerun_is_held_to_the_same_times(published):
    one = next(one for one in open_folder(published[0]).records if one.contender == "fedavg")
    slower = replace(one, clock=replace(one.clock, rounds=(9.0, *one.clock.rounds[1:])))
    for name in ("exact", "band"):
        same, other = (compare_records(one, here, Tier(name), {}) for here in (one, slower))
        assert same.reproduced
        assert [value.what for value in other.values if value.verdict == "differs"] == ["seconds of round 0"]


def test_tables_have_columns_of_the_clock(published, registry):
    folder, suite = published
    table = build_table(suite, open_folder(folder).records, registry)
    row = next(one for one in table.rows if one["contender"] == "fedavg")
    assert row["simulated_seconds"] >= row["simulated_seconds_to_target"] > 0
    assert row["training_joules"] >= row["joules_to_target"] > 0
    assert 0 < row["contributing_share"] <= 1
    assert row["wasted_bytes"] > 0
    assert row["slow_tenth_mean"] is not None
    assert {one.group for one in table.extras} >= {"Devices"}
    pooled = next(one for one in table.rows if one["contender"] == "centralized")
    assert pooled["simulated_seconds"] is None


def test_uplink_per_client_round_is_that_of_clients_that_answer(published, registry):
    folder, suite = published
    records = [one for one in open_folder(folder).records if one.clock is not None and one.bytes.up.encoded]
    sent = Counter((row.contender, row.seed) for row in read_messages(folder) if row.direction == "up")
    assert {(one.contender, one.seed): one.answers for one in records} == sent
    assert any(one.answers < one.client_rounds for one in records if one.contender == "fedavg")
    rows = {row["contender"]: row for row in build_table(suite, records, registry).rows}
    one_model = {one.bytes.up.encoded / sent[one.contender, one.seed] for one in records if one.contender == "fedavg"}
    assert {rows["fedavg"]["uplink_per_client_round_bytes"]} == one_model
    assert rows["fedavg"]["client_round_flops"] == pytest.approx(
        next(one.costs.step_flops for one in records) * suite.training.local_steps
    )


def test_a_published_folder_with_a_clock_has_no_problems(published, registry):
    assert [one.text for one in validate(published[0], registry).problems] == []


def test_rounds_of_arrivals_may_have_a_client_twice(published):
    folder, _ = published
    found = [one for one in open_folder(folder).records if one.contender == "fedbuff"]
    assert all(one.clock.one_by_one for one in found)
    parts = Counter(
        (row.seed, row.round_index, row.client_id)
        for row in read_messages(folder)
        if row.contender == "fedbuff" and row.direction == "down"
    )
    assert max(parts.values()) > 1


def _clock(**changed):
    return lambda record: record["clock"].update(changed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda record: record.pop("clock"), "`clock` is missing, and the suite has devices."),
        (_clock(rounds=[1.0]), "`clock.rounds` has 1 rounds, the suite 4."),
        (_clock(rounds=[-1.0] * 4), "`clock.rounds.0`"),
        (_clock(missed=[[9, 1, "late"]]), "round 9, client 1 (late), which the suite does not have."),
        (_clock(missed=[[0, i, "late"] for i in range(4)]), "4 clients did not count in round 0, the suite asks 3."),
        (_clock(missed=[[0, 1, "asleep"]]), "`clock.missed.0.2`"),
        (_clock(wasted_down=10**9), "`clock.wasted_down` is 1,000,000,000 bytes"),
        (_clock(contributors=6_000), "`clock.contributors` is 6000"),
        (_clock(slow=[77]), "`clock.slow` has client 77, whom `per_client` does not have."),
        (_clock(missed=[[0, i, "late"] for i in range(6)]), "it did not count, and what it was sent"),
        (_clock(missed=[[0, 1, "late"]] * 12), "`clock.missed` leaves none of 12 `client_rounds`, and the run is done"),
        (_clock(missed=[]), "bytes down were wasted, `clock.wasted_down` is"),
        (_clock(contributors=0), "clients sent an update that counted, `clock.contributors` is 0."),
        (_clock(odd=1), "`clock.odd` is not in schema 1."),
    ],
)
def test_each_kind_of_damage_is_told(folder, registry, change, said):
    file = folder / "results.json"
    body = json.loads(file.read_text(encoding="utf-8"))
    change(next(one for one in body["records"] if (one["contender"], one["seed"]) == ("fedavg", 1)))
    file.write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    write_manifest(folder)
    told = [one.text for one in validate(folder, registry).problems]
    assert any(said in one for one in told), told


def test_the_suites_own_clock_stands_in_drawings_and_costs(published):
    folder = open_folder(published[0])
    one, two = (record for record in folder.records if record.contender == "fedavg")
    assert EdgeDevice().seconds_at(one, 2) == one.clock.seconds_at(2)
    assert _elapsed(folder)["fedavg"][2] == pytest.approx((one.clock.seconds_at(2) + two.clock.seconds_at(2)) / 2)


def test_the_wasted_are_those_that_the_gate_refused_as_well():
    from fedgen_bench.contract.reports import LedgerEntry

    def booked(client, way, n):
        sizes = {"encoded_bytes": n, "tensor_bytes": n, "header_bytes": 0}
        return LedgerEntry(round_index=0, client_id=client, direction=way, phase="round", **sizes)

    report = RoundReport(
        round_index=0,
        cohort=(0, 1, 2),
        n_accepted=1,
        quarantined=(Quarantine(1, "norm", "Too far."),),
        mean_loss=0.0,
        metrics={},
        batch_digest="",
        ledger=(
            booked(0, "down", 1),
            booked(0, "up", 2),
            booked(1, "down", 10),
            booked(1, "up", 20),
            booked(2, "down", 100),
        ),
        seconds=1.0,
        clock=RoundClock(
            began=0.0,
            seconds=3.0,
            clients=(TimedClient(client_id=0), TimedClient(client_id=1), TimedClient(client_id=2, code=LATE)),
        ),
    )
    clock = Clock.of(clock_table([report], [0]))
    assert (clock.wasted_down, clock.wasted_up, clock.contributors) == (110, 20, 1)
    assert clock.missed == ((0, 2, LATE),)
    assert clock_table([report, RoundReport(**{**vars(report), "clock": None})], []) == {}
