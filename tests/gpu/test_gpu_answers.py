"""The questions to a GPU can be asked: their logic on the processor, the GPU itself where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from answers import answer, ask
from questions import QUESTIONS, Place

MINUTES = 10
TOLD = (
    "import json, pathlib, sys; there = pathlib.Path(sys.argv[-1], 'answer.json'); beside = there.with_name('beside'); "
    "beside.write_text(json.dumps({{'said': {}}})); beside.rename(there)"
)


def script(tmp_path, text):
    path = tmp_path / "asked.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def test_all_questions_fit_into_their_ten_minutes():
    assert sum(seconds for _, seconds in QUESTIONS.values()) <= 60 * MINUTES


def test_answers_are_kept_and_not_asked_again(tmp_path):
    out, first, second = tmp_path / "out", script(tmp_path, TOLD.format(1)), tmp_path / "again"
    second.mkdir()
    assert ask({"one": 30.0}, first, out, 60)["one"]["answer"] == {"said": 1}
    answers = ask({"one": 30.0, "two": 30.0}, script(second, TOLD.format(2)), out, 60)
    assert {name: one["answer"] for name, one in answers.items()} == {"one": {"said": 1}, "two": {"said": 2}}
    assert json.loads((out / "answers.json").read_text()) == answers
    assert "## two: answered" in (out / "answers.md").read_text()


def test_a_question_that_takes_too_long_is_cut_off_and_leaves_what_it_found(tmp_path, monkeypatch):
    wait, out = subprocess.Popen.wait, tmp_path / "out"

    def impatient(child, seconds=None):
        if seconds is None:
            return wait(child)
        while not (out / "one" / "answer.json").exists():
            time.sleep(0.01)
        raise subprocess.TimeoutExpired("asked", seconds)

    monkeypatch.setattr(subprocess.Popen, "wait", impatient)
    answers = ask({"one": 30.0}, script(tmp_path, f"{TOLD.format(1)}; import time; time.sleep(600)"), out, 60)
    assert (answers["one"]["status"], answers["one"]["answer"]) == ("cut off", {"said": 1})


def test_a_question_that_fails_says_why_and_is_asked_again(tmp_path):
    out = tmp_path / "out"
    answers = ask({"one": 30.0}, script(tmp_path, "raise SystemExit('no such device')"), out, 60)
    assert (answers["one"]["status"], answers["one"]["reason"]) == ("failed", "no such device")
    assert ask({"one": 30.0}, script(tmp_path, TOLD.format(1)), out, 60)["one"]["status"] == "answered"


def test_without_time_nothing_is_begun(tmp_path):
    assert ask({"one": 30.0}, ["never"], tmp_path / "out", 1) == {}
    assert (tmp_path / "out" / "answers.md").exists()


def test_questions_about_streams_and_repetition_are_answered_by_the_processor(tmp_path):
    for name in ("streams", "again"):
        (tmp_path / name).mkdir()
        answer(name, "cpu", tmp_path / name, small=True)
    streams, again = (json.loads((tmp_path / name / "answer.json").read_text()) for name in ("streams", "again"))
    assert streams["quick"] == {name: True if "equal" in name else 0.0 for name in streams["quick"]}, (
        "the processor beside itself"
    )
    assert set(again.values()) == {"equal"}


def test_pace_is_told_in_tokens_beside_a_bare_loop(tmp_path):
    place = Place("cpu", tmp_path, small=True)
    QUESTIONS["pace"][0](place)
    assert set(place.known) == {"fp32", "bf16"}
    assert place.known["fp32"]["ratio"] > 0


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="there is no NVIDIA GPU")
def test_a_gpu_begins_as_the_processor_does_and_repeats_itself(tmp_path):
    """A GPU's own tests; `answers.py` asks it everything."""
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    command = [sys.executable, str(Path(__file__).with_name("answers.py")), "--out", str(tmp_path)]
    done = subprocess.run([*command, "--only", "streams", "again"], env=environment, check=False)
    assert done.returncode == 0
    answers = json.loads((tmp_path / "answers.json").read_text())
    for suite in answers["streams"]["answer"].values():
        assert suite["initial tensors equal"]
        assert suite["batches equal"]
        assert suite["batch digests equal"]
        assert suite["first loss, relative difference"] < 1e-4
    assert set(answers["again"]["answer"].values()) == {"equal"}
