"""Two toy cells and their leaderboard, run in children that are cheap to kill.

A fork server imports everything and runs the world once; every child then starts in milliseconds.
"""

from __future__ import annotations

import contextlib
import functools
import json
import multiprocessing
import multiprocessing.forkserver
import os
import shutil
import signal
import sqlite3
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from fedgen_bench.base.errors import FedgenError

CONTENDERS = ("fedgen_edge", "fedavg")
N_ROUNDS = 4
COMPARED = ("table.csv", "table.json", "table.md", "results.json", "convergence.svg", "quality_vs_uplink.svg")
_ROOM_BYTES = 256 * 2**20  # some containers have 64 MB, which torch needs
_FORK = multiprocessing.get_context("forkserver")


ON_DEVICES = (*CONTENDERS, "fedbuff")
DEVICES = """
[[contender]]
name = "fedbuff"
strategy = { name = "fedbuff", params = { buffer_size = 2 } }
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
availability = 0.9
[[devices.classes]]
name = "slow"
share = 0.5
flops = 1e9
down = 50.0
up = 50.0
"""


@functools.cache
def world(devices: str = "") -> tuple[Any, Any, Any, Any]:
    """Registry, suite source, suite and cells: the toy suite with one seed."""
    import torch

    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.plugins import load_registry
    from fedgen_bench.suite.cells import expand
    from fedgen_bench.suite.load import load_suite
    from fedgen_bench.testing import toy

    torch.set_num_threads(1)
    registry = load_registry([Path(toy.__file__)])
    text = toy.SUITE.replace("leaderboard = [1, 2]", "leaderboard = [1]") + devices
    source = SuiteSource(name="toy", text=text, path="toy.toml")
    suite = load_suite(source, registry)
    return registry, source, suite, expand(suite, registry, contenders=ON_DEVICES if devices else CONTENDERS)


def pin_commit(patch: Any) -> None:
    """Results name the checkout's commit, and a developer may commit while tests run."""
    from fedgen_bench.base import environment

    patch(environment, "git_commit", lambda: "pinned")


def run_world(root: str, *, table: bool = True, devices: str = "") -> dict[str, Any]:
    """Run or resume the cells below `root` and publish; tells the rounds that were run and the kill points' passes."""
    from fedgen_bench.base import killpoints
    from fedgen_bench.registry.datasets import Places
    from fedgen_bench.results.folders import write_together
    from fedgen_bench.results.publish import publish
    from fedgen_bench.results.store import Store
    from fedgen_bench.run.executor import Job
    from fedgen_bench.run.runner import run_cells

    registry, source, suite, specs = world(devices)
    rounds: Counter[str] = Counter()

    def note(event: Any) -> None:
        if event.kind == "round":
            rounds[event.run.split("/")[1]] += 1

    runs = Path(root) / "runs"
    with Store(runs) as store:
        job = Job(runs, Places(), "cpu", registry.plugin_files)
        ended = run_cells(specs, registry, job, store, workers=1, on_event=note)
        if table:
            write_together(Path(root) / "leaderboards" / "toy", {"notes.txt": b"somebody's own"})
            publish(source, suite, registry, store, Path(root) / "leaderboards")
    return {"rounds": dict(rounds), "ended": [event.status for event in ended], "passes": dict(killpoints._passes)}


def warm_up() -> None:
    """What every child would have to do for the first time."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    pin_commit(setattr)
    with tempfile.TemporaryDirectory() as root:
        run_world(root)


def start_server(monkeypatch: Any) -> None:
    """Start the fork server with everything imported; `sys.path` reaches it only through the environment."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    _FORK.set_forkserver_preload(["crash_preload"])
    multiprocessing.forkserver.ensure_running()


def _in_child(link: Any, function: Any, arguments: dict[str, Any], environ: dict[str, str]) -> None:
    os.environ.update(environ)
    pin_commit(setattr)
    try:
        link.send(("ok", function(**arguments)))
    except FedgenError as error:
        link.send((type(error).__name__, str(error)))
    except BaseException:  # noqa: BLE001 - the parent shows it
        link.send(("raised", traceback.format_exc()))


def child(
    function: Any, arguments: dict[str, Any], *, environ: dict[str, str] | None = None, kill_after: float | None = None
) -> tuple[str, Any]:
    """What a function gives in a child process: ("ok", value), (error's name, message), or ("killed", None)."""
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_in_child, args=(theirs, function, arguments, environ or {}))
    process.start()
    theirs.close()
    try:
        if kill_after is not None and not ours.poll(kill_after):
            process.kill()
        try:
            answer = ours.recv()
        except EOFError:
            answer = ("killed", None)
    finally:
        ours.close()
    process.join()
    if answer[0] == "killed":
        # 255 is what multiprocessing says where its fork server could not tell
        assert process.exitcode in {-signal.SIGKILL, 255}, process.exitcode
    process.close()
    return answer


def new_root() -> Path:
    """A folder in memory where there is room: SIGKILL does not care, and fsync is free."""
    shared = Path("/dev/shm")
    has_room = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > _ROOM_BYTES
    return Path(tempfile.mkdtemp(prefix="fedgen-crash-", dir=shared if has_room else None))


@contextlib.contextmanager
def scratch() -> Any:
    """A folder that is gone afterwards."""
    root = new_root()
    try:
        yield root
    finally:
        shutil.rmtree(root)


def committed(root: Path) -> dict[str, int]:
    """Committed rounds by contender, read past the library."""
    path = root / "runs" / "fedgen.sqlite"
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'rounds'").fetchone():
            return {}
        rows = db.execute("SELECT contender, count(*) FROM rounds JOIN runs ON run = identity GROUP BY contender")
        return dict(rows.fetchall())


def outputs(root: Path) -> dict[str, bytes]:
    """Everything that must not depend on kills: published files, and all files of the cells."""
    folder = root / "leaderboards" / "toy"
    found = {name: (folder / name).read_bytes() for name in (*COMPARED, "notes.txt") if (folder / name).exists()}
    cells = root / "runs" / "cells"
    return found | {str(path.relative_to(root)): path.read_bytes() for path in cells.rglob("*") if path.is_file()}


def database_rows(root: Path) -> list[Any]:
    """Every stored value that does not depend on the clock, after SQLite's own checks."""
    with contextlib.closing(sqlite3.connect(root / "runs" / "fedgen.sqlite")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        rows: list[Any] = db.execute(
            "SELECT identity, contender, seed, config, status, reason, result, n_rounds FROM runs ORDER BY identity"
        ).fetchall()
        for run, number, report, state, keep in db.execute(
            "SELECT run, round, report, state_sha256, keeps FROM rounds ORDER BY run, round"
        ):
            body = json.loads(report)
            assert body.pop("seconds") > 0
            rows.append((run, number, body, state, keep))
        rows += db.execute("SELECT * FROM ledger ORDER BY run, round, rowid").fetchall()
        rows += db.execute("SELECT * FROM metrics ORDER BY run, round, name").fetchall()
    return rows


def problems(root: Path, reference: Path) -> list[str]:
    """How a finished folder differs from that of a run that nothing happened to."""
    found, wanted = outputs(root), outputs(reference)
    texts = [
        f"{name}: {'differs' if name in found and name in wanted else 'only in one'}"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
    ]
    if database_rows(root) != database_rows(reference):
        texts.append("the database's rows differ")
    texts += [f"{path} is left over" for path in root.rglob("*.tmp")]
    return texts


def kill_and_resume(reference: Path, kills: list[tuple[str, float]], devices: str = "") -> tuple[list[str], list[str]]:
    """Run with each kill in turn (a point and pass, or a time), then to the end; returns (how each ended, problems)."""
    how: list[str] = []
    with scratch() as root:
        given = {"root": str(root), "devices": devices}
        for where, when in kills:
            if where == "time":
                answer = child(run_world, given, kill_after=when)
            else:
                answer = child(run_world, given, environ={"FEDGEN_KILL": f"{where}:{int(when)}"})
            how.append(answer[0])
            if answer[0] not in {"ok", "killed"}:
                return how, [str(answer)]
        before = committed(root)
        kind, told = child(run_world, given)
        if kind != "ok":
            return how, [f"resume: {kind}: {told}"]
        lost = [
            f"{name}: {before.get(name, 0)} rounds were committed, {told['rounds'].get(name, 0)} were run again"
            for name in (ON_DEVICES if devices else CONTENDERS)
            if before.get(name, 0) + told["rounds"].get(name, 0) != N_ROUNDS
        ]
        return how, lost + problems(root, reference)


def wait_until(condition: Any, *, seconds: float = 300) -> None:
    """Poll; fails when the condition does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
