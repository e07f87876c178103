"""Peak memory of a cell in multiples of P, the fp32 model: `python tests/benchmarks/memory.py`, on Linux.

The model is GPT-2 of 124 million parameters with random weights (P is 0.5 GB); two rounds of ten clients, AdamW, fp32.
What Python and the libraries hold before the cell is not counted. Each cell has a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import small_lms
from fedgen_bench_plugins.backbones.shipped import locate
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from fedgen_bench import run_suite

CONTENDERS = ("lora", "full")


def make(folder: Path) -> None:
    """GPT-2 small with the words of tiny wire among its 50,257 tokens, without dropout."""
    rates = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    GPT2LMHeadModel(GPT2Config(bos_token_id=1, eos_token_id=1, **rates)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate("tiny-wire-lm")).save_pretrained(folder)


def status(name: str) -> int:
    """Bytes of a line of proc_pid_status(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def run(backbone: str, contender: str, work: Path) -> None:
    """Run one cell here."""
    results = run_suite(
        "small-lms",
        contenders=[contender],
        overrides=small_lms.Size(backbone, batch=1, block=16, steps=1).overrides,
        plugins=[small_lms.__file__],
        runs=work / "runs",
        leaderboards=work / "leaderboards",
        device="cpu",
        jobs=1,
    )
    assert all(one.status == "done" for one in results.ended), results.ended


def measure(backbone: Path, contender: str, work: Path) -> None:
    """Print the peak of a cell, after one of a small model that has loaded all libraries."""
    run("tiny-wire-lm", contender, work / "small")
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    run(str(backbone), contender, work / "large")
    peak, p = status("VmHWM") - before, (backbone / "model.safetensors").stat().st_size
    print(f"{contender}: peak {peak / 1e9:.2f} GB over {before / 1e9:.2f} GB, {peak / p:.1f} P (P is {p / 1e9:.2f} GB)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "gpt2")
        for contender in CONTENDERS:
            work = Path(folder) / contender
            command = [sys.executable, __file__, f"{folder}/gpt2", contender, str(work)]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
