"""Bare PyTorch, this harness and its peers on the same work, in turn; prints the table of docs/performance.md.

Started by `tox -e peers`, which makes the environment. A peer that is not installed there is named as missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
LIBRARIES = ("torch", "transformers", "peft")


@dataclass(frozen=True)
class Runner:
    """A column: what is called, which distribution it needs, how it spreads its work, and whether it does all works."""

    name: str
    script: str
    needs: str | None = None
    arguments: tuple[str, ...] = ()
    only_trains: bool = False


RUNNERS = (
    Runner("bare, 2 threads", "bare.py"),
    Runner("bare, 2 processes", "bare_processes.py"),
    Runner("pfl-research", "pfl_research.py", "pfl"),
    Runner("Flower simulation", "flower_simulation.py", "flwr"),
    Runner("FedLab", "fedlab_standalone.py", "fedlab"),
    Runner("ours `local`", "ours.py", arguments=("local",)),
    Runner("ours `processes`", "ours.py", arguments=("processes",)),
    Runner("ours `local --cohort auto`", "ours.py", arguments=("local", "auto"), only_trains=True),
    Runner("ours `processes --cohort auto`", "ours.py", arguments=("processes", "auto"), only_trains=True),
)


@dataclass
class Work:
    """A folder of work: rounds to run, and tokens that a round trains on (0 where nothing is trained)."""

    name: str
    n_rounds: int
    tokens: int
    folder: Path = field(default_factory=Path)


def prepared(root: Path) -> Iterator[Work]:
    """Write the works: two sizes of training, two of models that stand still."""
    sys.path.insert(0, str(HERE.parent))
    import small_lms
    import still

    rounds = {"4 x 256": 4, "2 x 64": 8}
    for number, (name, size) in enumerate(small_lms.SIZES.items()):
        work = Work(name, rounds[name], small_lms.COHORT * size.steps * size.batch * size.block, root / f"lm{number}")
        work.folder.mkdir()
        small_lms.export(size, work.folder)
        told = {"suite": "small-lms", "contender": "lora", "plugin": "small_lms.py", "overrides": size.overrides}
        (work.folder / "suite.json").write_text(json.dumps(told))
        yield work
    for number, (name, n_rounds) in enumerate({"0.13 MB": 41, "40 MB": 4}.items()):
        work = Work(name, n_rounds, 0, root / f"still{number}")
        work.folder.mkdir()
        still.export(still.SIZES[name], work.folder)
        overrides = still.overrides(still.SIZES[name])
        told = {"suite": "still", "contender": "fedavg", "plugin": "still.py", "overrides": overrides}
        (work.folder / "suite.json").write_text(json.dumps(told))
        yield work


def measured(python: str, runner: Runner, work: Work, log: Path) -> dict[str, float] | None:
    """Seconds from the start to the first round, and of a round (the median); None where the runner fails."""
    command = [python, str(HERE / runner.script), str(work.folder), str(work.n_rounds), *runner.arguments]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    with log.open("a") as file:
        file.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    told = [line for line in done.stdout.splitlines() if line.startswith('{"marks"')]
    if not told:
        return None
    marks = json.loads(told[-1])["marks"]
    seconds = statistics.median(later - earlier for earlier, later in itertools.pairwise(marks))
    return {"start": marks[0] - seconds, "round": seconds}


def cell(runner: Runner, work: Work, found: list[dict[str, float]]) -> str:
    """Median tokens a second, or milliseconds a client-round."""
    if not found:
        return "" if runner.only_trains and not work.tokens else "failed"
    seconds = statistics.median(one["round"] for one in found)
    return f"{work.tokens / seconds:,.0f}" if work.tokens else f"{seconds / 10 * 1e3:.3g}"


def versions() -> dict[str, str | None]:
    """Of the peers and of what all stand on; None for what is not installed."""
    found = {}
    for name in (*(one.needs for one in RUNNERS if one.needs), *LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    """Measure in turn, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="how often each runner has its turn; medians are shown")
    parser.add_argument("--only", action="append", default=[], help="a runner or a work by the start of its name")
    parser.add_argument("--python", default=sys.executable, help="what runs the runners")
    parser.add_argument("--output", type=Path, help="every figure, as JSON")
    told = parser.parse_args()
    known = versions()
    runners = [one for one in RUNNERS if one.needs is None or known[one.needs] is not None]

    def chosen(names: list[str]) -> list[str]:
        return [one for one in names if any(one.startswith(only) for only in told.only)] or names

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.txt" if told.output is None else told.output.with_suffix(".log")
        works = list(prepared(Path(folder)))
        works = [one for one in works if one.name in chosen([one.name for one in works])]
        runners = [one for one in runners if one.name in chosen([one.name for one in runners])]
        figures: dict[str, dict[str, list[dict[str, float]]]] = {
            work.name: {runner.name: [] for runner in runners} for work in works
        }
        for repeat in range(told.repeats):
            for work in works:
                for runner in runners:
                    if runner.only_trains and not work.tokens:
                        continue
                    one = measured(told.python, runner, work, log)
                    print(f"{repeat + 1}/{told.repeats} {work.name}, {runner.name}: {one}", file=sys.stderr, flush=True)
                    if one is not None:
                        figures[work.name][runner.name].append(one)
    rows = [["", *(runner.name for runner in runners)]]
    for work in works:
        unit = "tokens/s" if work.tokens else "ms a client-round"
        rows.append(
            [f"{work.name}, {unit}", *(cell(runner, work, figures[work.name][runner.name]) for runner in runners)]
        )
    trained = [work for work in works if work.tokens]
    for work in trained[-1:]:
        seconds = [[one["start"] for one in figures[work.name][runner.name]] for runner in runners]
        starts = [f"{statistics.median(one):.1f}" if one else "failed" for one in seconds]
        rows.append([f"{work.name}, start to first round, s", *starts])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    print("\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]))
    print(f"\nPython {platform.python_version()}", *(f"{k} {v or 'is missing'}" for k, v in known.items()), sep=", ")
    if told.output is not None:
        told.output.write_text(json.dumps({"versions": known, "works": figures}, indent=1))


if __name__ == "__main__":
    main()
