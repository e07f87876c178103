"""The `quick-images` suite from the command line: what it writes, and that a killed cell ends with the same bytes."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
from itertools import pairwise

import commands
import pytest
from PIL import Image

RANKED = {"fedgen_edge", "fedavg_full", "fedprox_full", "prompt_tuning"}
REFERENCES = {"frozen", "local_only", "centralized_lora", "centralized_full"}


@pytest.fixture(scope="module")
def quick_images(tmp_path_factory):
    root = tmp_path_factory.mktemp("quick-images")
    done = commands.run(root, "run", "--suite", "quick-images", "--jobs", "2", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return root / "leaderboards" / "quick-images"


def records_of(folder):
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {one["contender"]: one for one in results["records"]}


def test_run_quick_images_finishes_and_ranks_every_contender(quick_images):
    rows = {row["contender"]: row for row in csv.DictReader(io.StringIO((quick_images / "table.csv").read_text()))}
    assert set(rows) == RANKED | REFERENCES
    assert {row["status"] for row in rows.values()} == {"done"}
    ranked = sorted(RANKED, key=lambda name: float(rows[name]["quality_mean"]))
    ranks = [int(rows[name]["rank"]) for name in ranked]
    assert ranks[0] == 1
    assert all(after in (before, place) for place, (before, after) in enumerate(pairwise(ranks), start=2))
    assert {row["quality_metric"] for row in rows.values()} == {"test/denoising_loss"}
    assert rows["local_only"]["quality_mean"] == ""
    assert float(rows["fedavg_full"]["quality_mean"]) < float(rows["frozen"]["quality_mean"])
    assert float(rows["fedgen_edge"]["uplink_reduction_vs_full"]) > 0.8


def test_run_quick_images_follows_rounds_and_clients_by_denoising_loss(quick_images):
    records = records_of(quick_images)
    for name in RANKED:
        assert len(records[name]["curve"]) == 4
        assert {key.split("/")[1] for key in records[name]["metrics"] if key.startswith("personalized/")} == {
            "denoising_loss"
        }
    assert records["fedavg_full"]["curve"][-1][1] < records["fedavg_full"]["curve"][0][1]


def test_run_quick_images_is_paired(quick_images):
    digests = [record["digests"] for name, record in records_of(quick_images).items() if name in RANKED]
    for what in ("partition", "cohort", "batches"):
        assert len({one[what] for one in digests}) == 1, what


def test_run_quick_images_names_extractor_and_backbone_by_hash(quick_images):
    data = records_of(quick_images)["frozen"]["facts"]["data"]
    assert {"extractor cifarnet", "backbone tiny-shapes-unet", "tiny-shapes test"} <= set(data)
    text = (quick_images / "table.md").read_text(encoding="utf-8")
    assert all(hashed in text for hashed in data.values())
    assert "sampler_steps 8" in text


def test_run_quick_images_tells_fid_also_by_class(quick_images):
    metrics = records_of(quick_images)["frozen"]["metrics"]
    assert metrics["test/fid_cifarnet"] > 0
    by_class = [key for key in metrics if key.startswith("test/fid_by_class_cifarnet/")]
    assert len(by_class) == 10


def test_run_quick_images_shows_a_row_of_samples_a_contender(quick_images):
    with Image.open(quick_images / "samples.png") as picture:
        width, height = picture.size
    assert width > 20 * 16
    assert height > (len(RANKED) + 3) * 16  # local_only has no global model


def test_leaderboard_check_passes_on_quick_images(quick_images):
    done = commands.here(quick_images.parents[1], "leaderboard", "--suite", "quick-images", "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_run_quick_images_killed_twice_and_resumed_ends_byte_equal(quick_images, tmp_path):
    arguments = ["run", "--suite", "quick-images", "--contender", "fedgen_edge", "--jobs", "1", "--device", "cpu"]
    for point in ("round.committed:2", "final.evaluated:1"):
        killed = subprocess.run(
            [commands.SCRIPT, *arguments], cwd=tmp_path, capture_output=True, check=False,
            env=os.environ | {"FEDGEN_KILL": point},
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL
    assert commands.here(tmp_path, *arguments).returncode == 0
    (again,) = records_of(tmp_path / "leaderboards" / "quick-images").values()
    untouched = records_of(quick_images)["fedgen_edge"]
    for record in (again, untouched):
        record["environment"]["commit"] = ""
    assert again == untouched
