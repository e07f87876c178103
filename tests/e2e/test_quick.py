"""The `quick` suite from the command line: what it says, what it writes, and that it can be believed."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import sqlite3
from itertools import pairwise

import pytest
from commands import here

COLUMNS = (
    "rank contender strategy adapter status n_seeds trainable_params trainable_fraction quality_metric quality_mean "
    "quality_std quality_ci_low quality_ci_high personalized_mean worst_decile_mean rounds_to_target_mean "
    "uplink_to_target_bytes uplink_total_bytes uplink_per_client_round_bytes downlink_total_bytes "
    "uplink_reduction_vs_full client_round_flops training_flops flops_to_target training_memory_bytes stored_bytes "
    "joining_bytes downlink_per_client_round_bytes"
).split()
RANKED = {"fedgen_edge", "fedgen_edge_attention", "fedavg_full", "fedprox_full", "prompt_tuning"}
REFERENCES = {"frozen", "local_only", "centralized_lora", "centralized_full"}
SEEDS = (1, 2)
N_ROUNDS, COHORT = 5, 5
SENT = {"fedgen_edge", "fedgen_edge_attention", "fedavg_full", "fedprox_full", "prompt_tuning"}


def table_rows(quick):
    with (quick.folder / "table.csv").open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        return reader.fieldnames, {row["contender"]: row for row in reader}


def test_run_quick_finishes_every_contender_on_every_seed(quick):
    assert set(quick.records) == {(name, seed) for name in RANKED | REFERENCES for seed in SEEDS}
    assert {record["status"] for record in quick.records.values()} == {"done"}
    assert quick.stderr.count(": done in ") == len(quick.records)


def test_run_quick_prints_the_table_on_stdout_and_talk_on_stderr(quick):
    assert "done in" not in quick.stdout
    assert "Written to" not in quick.stdout
    lines = quick.stdout.splitlines()
    assert lines[0].startswith("Tiny wire (generated news lines): suite quick, version 1")
    assert {line.split()[1] for line in lines[3:]} == RANKED | REFERENCES
    assert "rank" not in quick.stderr


def test_run_quick_table_has_exactly_the_promised_columns(quick):
    fields, rows = table_rows(quick)
    assert fields == COLUMNS
    assert set(rows) == RANKED | REFERENCES
    assert {row["status"] for row in rows.values()} == {"done"}
    assert {row["n_seeds"] for row in rows.values()} == {"2"}
    assert {row["quality_metric"] for row in rows.values()} == {"test/perplexity_per_word"}


def test_run_quick_ranks_by_quality_and_references_not_at_all(quick):
    _, rows = table_rows(quick)
    ranked = sorted(RANKED, key=lambda name: float(rows[name]["quality_mean"]))
    ranks = [int(rows[name]["rank"]) for name in ranked]
    assert ranks[0] == 1
    assert all(after in (before, place) for place, (before, after) in enumerate(pairwise(ranks), start=2))
    assert {rows[name]["rank"] for name in REFERENCES} == {""}


def test_run_quick_quality_is_the_mean_over_seeds_and_training_helps(quick):
    _, rows = table_rows(quick)
    for name in (RANKED | REFERENCES) - {"local_only"}:
        values = [quick.records[name, seed]["metrics"]["test/perplexity_per_word"] for seed in SEEDS]
        assert float(rows[name]["quality_mean"]) == pytest.approx(sum(values) / 2, rel=1e-6)
    assert rows["local_only"]["quality_mean"] == ""  # it has no global model
    assert float(rows["fedgen_edge"]["quality_mean"]) < float(rows["frozen"]["quality_mean"])
    assert float(rows["fedavg_full"]["quality_mean"]) < float(rows["frozen"]["quality_mean"])


def cell_folder(root, name, seed):
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
        query = "SELECT identity FROM runs WHERE contender = ? AND seed = ?"
        return root / "runs" / "cells" / db.execute(query, (name, seed)).fetchone()[0]


def shapes_of(path):
    """Tensor shapes of a safetensors file, read without the library."""
    content = path.read_bytes()
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    head.pop("__metadata__", None)
    assert {one["dtype"] for one in head.values()} == {"F32"}
    return {name: one["shape"] for name, one in head.items()}


def n_values(shapes):
    total = 0
    for shape in shapes.values():
        size = 1
        for dimension in shape:
            size *= dimension
        total += size
    return total


@pytest.mark.parametrize("name", sorted(SENT))
@pytest.mark.parametrize("seed", SEEDS)
def test_run_quick_books_the_bytes_that_the_shapes_give(name, seed, quick):
    record = quick.records[name, seed]
    n_sent = n_values(shapes_of(cell_folder(quick.root, name, seed) / "final.safetensors"))
    assert record["facts"]["trainable_params"] == n_sent
    for direction in ("up", "down"):
        booked = record["bytes"][direction]
        assert booked["messages"] == N_ROUNDS * COHORT
        assert booked["tensors"] == 4 * n_sent * N_ROUNDS * COHORT
        assert booked["encoded"] == booked["tensors"] + booked["headers"]
        assert 0 < booked["headers"] < N_ROUNDS * COHORT * (300 + 200 * 100)
    _, rows = table_rows(quick)
    both = [quick.records[name, one]["bytes"]["up"]["encoded"] for one in SEEDS]
    assert float(rows[name]["uplink_total_bytes"]) == sum(both) / 2
    assert float(rows[name]["uplink_per_client_round_bytes"]) == sum(both) / 2 / (N_ROUNDS * COHORT)


def test_run_quick_adapter_sizes_are_those_of_the_arithmetic(quick):
    full = shapes_of(cell_folder(quick.root, "fedavg_full", 1) / "final.safetensors")
    width = next(shape[-1] for name, shape in full.items() if name.endswith("wte.weight"))
    vocabulary = next(shape[0] for name, shape in full.items() if name.endswith("wte.weight"))
    layers = sum(name.endswith("attn.c_attn.weight") for name in full)
    trainable = {
        name: record["facts"]["trainable_params"] for (name, seed), record in quick.records.items() if seed == 1
    }
    assert trainable["prompt_tuning"] == 8 * width
    assert trainable["fedgen_edge_attention"] == layers * 4 * (width + 3 * width)
    per_layer = (width + 3 * width) + (width + width) + (width + 4 * width) + (4 * width + width)
    assert trainable["fedgen_edge"] == 2 * (layers * per_layer + width + vocabulary)
    assert trainable["fedavg_full"] == n_values(full)
    assert trainable["frozen"] == 0


def test_run_quick_saves_uplink_against_the_full_model(quick):
    _, rows = table_rows(quick)
    full = float(rows["fedavg_full"]["uplink_per_client_round_bytes"])
    for name in SENT:
        expected = 1 - float(rows[name]["uplink_per_client_round_bytes"]) / full
        assert float(rows[name]["uplink_reduction_vs_full"]) == pytest.approx(expected, abs=1e-6)
    assert float(rows["fedgen_edge"]["uplink_reduction_vs_full"]) > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_run_quick_contenders_are_paired(seed, quick):
    digests = {name: quick.records[name, seed]["digests"] for name in RANKED | {"local_only"}}
    for what in ("partition", "cohort", "batches"):
        assert len({one[what] for one in digests.values()}) == 1, what
    assert len({quick.records[name, seed]["digests"]["partition"] for name in RANKED | REFERENCES}) == 1
    assert digests["fedavg_full"]["initial"] == digests["fedprox_full"]["initial"]
    assert digests["fedavg_full"]["initial"] != digests["fedgen_edge"]["initial"]


def test_run_quick_seeds_differ(quick):
    for what in ("partition", "cohort", "batches"):
        assert quick.records["fedgen_edge", 1]["digests"][what] != quick.records["fedgen_edge", 2]["digests"][what]


def test_run_quick_again_does_nothing_and_gives_the_same_bytes(quick):
    before = quick.published()
    database = (quick.root / "runs" / "fedgen.sqlite").read_bytes()
    done = quick.fedgen("run", "--suite", "quick", "--device", "cpu")
    assert done.returncode == 0
    assert done.stderr.count("done already") == len(quick.records)
    assert " in " not in done.stderr
    assert done.stdout == quick.stdout
    assert quick.published() == before
    assert (quick.root / "runs" / "fedgen.sqlite").read_bytes() == database


def test_run_quick_with_one_worker_gives_the_bits_of_two(quick, tmp_path):
    done = here(
        tmp_path,
        "run",
        "--suite",
        "quick",
        "--jobs",
        "1",
        "--device",
        "cpu",
        "--contender",
        "fedgen_edge",
        "--seed",
        "2",
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "leaderboards" / "quick" / "results.json").read_text(encoding="utf-8"))
    (alone,) = results["records"]
    together = quick.records["fedgen_edge", 2]
    for record in (alone, together):
        record.pop("environment")["commit"] = ""
    assert alone == together
    ours = cell_folder(tmp_path, "fedgen_edge", 2)
    theirs = cell_folder(quick.root, "fedgen_edge", 2)
    files = sorted(path.name for path in theirs.iterdir())
    assert "final.safetensors" in files
    assert {path.name: path.read_bytes() for path in ours.iterdir()} == {
        name: (theirs / name).read_bytes() for name in files
    }


def test_leaderboard_check_passes_on_what_was_published(quick):
    done = quick.fedgen("leaderboard", "--suite", "quick", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert "every file is what the published results give" in done.stdout


@pytest.mark.parametrize("name", ["table.csv", "table.json", "table.md", "results.json"])
def test_leaderboard_check_finds_an_edited_file(name, quick, tmp_path):
    shutil.copytree(quick.folder, tmp_path / "quick")
    path = tmp_path / "quick" / name
    text = path.read_text(encoding="utf-8")
    edited = text.replace("7", "8", 1) if name != "results.json" else text + "\n"
    assert edited != text
    path.write_text(edited, encoding="utf-8")
    done = quick.fedgen("leaderboard", "--suite", "quick", "--check", "--leaderboards", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{path} is not what the published results give.\n"


@pytest.mark.parametrize("name", ["table.csv", "convergence.svg", "quality_vs_uplink.svg"])
def test_leaderboard_check_finds_a_missing_file(name, quick, tmp_path):
    shutil.copytree(quick.folder, tmp_path / "quick")
    (tmp_path / "quick" / name).unlink()
    done = quick.fedgen("leaderboard", "--suite", "quick", "--check", "--leaderboards", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'quick' / name} is not what the published results give.\n"


def test_leaderboard_check_finds_better_numbers_in_the_results(quick, tmp_path):
    shutil.copytree(quick.folder, tmp_path / "quick")
    path = tmp_path / "quick" / "results.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    body["records"][0]["metrics"]["test/perplexity_per_word"] /= 2
    path.write_text(json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    done = quick.fedgen("leaderboard", "--suite", "quick", "--check", "--leaderboards", str(tmp_path))
    assert done.returncode == 1
    assert "table.csv is not what" in done.stderr
    assert "table.md is not what" in done.stderr


def test_leaderboard_rewrites_the_same_bytes_from_the_store(quick, tmp_path):
    done = quick.fedgen("leaderboard", "--suite", "quick", "--leaderboards", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == quick.stdout
    assert {path.name: path.read_bytes() for path in (tmp_path / "quick").iterdir()} == quick.published()


def test_compare_gives_the_difference_of_the_means(quick):
    done = quick.fedgen("compare", "--suite", "quick", "fedavg_full", "fedgen_edge")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines()[2:]}
    means = [
        sum(quick.records[name, seed]["metrics"]["test/perplexity_per_word"] for seed in SEEDS) / 2
        for name in ("fedavg_full", "fedgen_edge")
    ]
    assert [float(one) for one in rows["test/perplexity_per_word"][1:3]] == pytest.approx(means, rel=1e-4)
    assert float(rows["test/perplexity_per_word"][3]) == pytest.approx(means[1] - means[0], rel=1e-3)


def test_compare_with_an_unknown_contender_names_the_closest(quick):
    done = quick.fedgen("compare", "--suite", "quick", "fedavg_full", "fedgen_edg")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: Unknown finished contender `fedgen_edg`. Did you mean `fedgen_edge`?\n"
