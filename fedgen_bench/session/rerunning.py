"""Cells of a published folder run again from its record alone, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from fedgen_bench.base.environment import fingerprint
from fedgen_bench.base.errors import DataError, FedgenError, StoreError, UsageError
from fedgen_bench.base.files import sha256_of, write_atomic
from fedgen_bench.base.instructions import instructions
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.files import REPRODUCTION, RESULTS
from fedgen_bench.results.published import open_folder
from fedgen_bench.results.record import Record, Unfinished
from fedgen_bench.results.recording import record_of
from fedgen_bench.results.store import Store
from fedgen_bench.results.tiers import described
from fedgen_bench.review.reproduction import Rerun, choose, datasets_of, problems, report, reruns_of
from fedgen_bench.run.events import Event, OnEvent
from fedgen_bench.session.agreeing import judged, tier_of
from fedgen_bench.session.answers import OnPlan, Plan, Reproduction
from fedgen_bench.session.workplace import Workplace


@dataclass(frozen=True, kw_only=True)
class RerunSelection:
    """Which cells to run again, and how, as `Session.reproduce` takes it."""

    contenders: Sequence[str] = ()
    seeds: Sequence[int] = ()
    sample: int | None = None
    precision: Literal["fp32"] | None = None


def reproduce(
    folder: Path,
    selection: RerunSelection,
    at: Workplace,
    *,
    out: Path | None,
    on_plan: OnPlan,
    on_event: OnEvent,
) -> Reproduction:
    """Run what is left of the chosen cells in a store of their own, compare, and write `reproduction.json`."""
    records = open_folder(folder, unchanged=True).records
    chosen = choose(records, selection.contenders, selection.seeds, selection.sample)
    reruns = reruns_of(chosen, at.registry, selection.precision)
    suite, version = reruns[0].spec.suite, reruns[0].spec.suite_version
    root = _outside(folder, out or Path("reproduction", suite))
    _need(reruns, at)
    here = _run(reruns, root / "store", at, on_plan, on_event)
    cells, tests = judged(reruns, here, records)
    path = root / REPRODUCTION
    head: dict[str, Any] = {
        "schema": 1,
        "results_sha256": sha256_of(folder / RESULTS),
        "suite": suite,
        "version": version,
        "selection": asdict(selection),
    }
    write_atomic(path, report(cells, tests, head).encode())
    return Reproduction(cells, tests, path)


def _outside(folder: Path, out: Path) -> Path:
    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{out} is inside the published folder. Name another one with `--out`.")
    return out


def _need(reruns: Sequence[Rerun], at: Workplace) -> None:
    """Tell everything that would make the runs fail, at once. Raises FedgenError."""
    sentences, find = problems(reruns, at.registry), finder(at.registry, at.data)
    expected: dict[str, dict[str, str]] = {}
    for rerun in reruns:
        if rerun.record.config.task.name in at.registry.components["task"]:
            for name in datasets_of(rerun.record, at.registry):
                expected.setdefault(name, {}).update(rerun.record.facts.data)
    for name, published in expected.items():
        try:
            where = find(name)
        except DataError as error:
            sentences.append(str(error))
            continue
        for file, sha256 in at.registry.get("dataset", name).spec.hashes(where).items():
            if published.get(file, sha256) != sha256:
                sentences.append(
                    f"{file} of data set `{name}` has sha256 {sha256} here, {published[file]} was published. Provide "
                    "the same file with `--data DIR`."
                )
    if sentences:
        raise FedgenError("\n".join(sentences))


def _foretold(reruns: Sequence[Rerun], device: str) -> tuple[str, ...]:
    """Which tiers are to be expected, and whether bf16 will be slow."""

    def threads(rerun: Rerun) -> int:
        return rerun.spec.config.training.threads

    kinds = {(threads(one), one.cohort) for one in reruns}
    here = {kind: fingerprint(device, *kind) for kind in kinds}
    tiers = [tier_of(one, here[threads(one), one.cohort]) for one in reruns]
    notes = []
    for name in dict.fromkeys(one.name for one in tiers):
        same = [one for one in tiers if one.name == name]
        reasons = dict.fromkeys(reason for one in same for reason in one.reasons)
        why = f": {'; '.join(reasons)}" if reasons else ""
        notes.append(f"{len(same)} of {len(tiers)} cells: {described(name)}{why}")
    precisions = [one.spec.config.training.precision for one in reruns]
    instead = "`--precision fp32`, which is held to the statistical tier"
    return (*notes, *instructions().warnings(precisions, device, instead))


def _run(reruns: Sequence[Rerun], folder: Path, at: Workplace, on_plan: OnPlan, on_event: OnEvent) -> list[Record]:
    """Run what is left of the cells; the record of each."""
    specs = tuple(rerun.spec for rerun in reruns)
    with at.warmed(specs) as place, Store(folder) as store:
        notes = _foretold(reruns, at.device)
        on_plan(Plan(specs, specs[0].config.evaluation.followed, place.jobs, notes))
        cohorts = {rerun.spec.digest: rerun.cohort for rerun in reruns}
        ended = at.run(specs, store, place, on_event, cohort_of=cohorts)
        return _records(reruns, store, ended)


def _records(reruns: Sequence[Rerun], store: Store, ended: Sequence[Event]) -> list[Record]:
    first = reruns[0].spec
    stored = {run.spec.digest: run for run in store.runs(first.suite, first.suite_version)}
    how = {event.run: event for event in ended if event.status != "done"}
    records = []
    for rerun in reruns:
        if rerun.spec.digest not in stored:
            raise StoreError(
                f"{store.root} holds a later run of {rerun.name} with other settings. Use another `--out`."
            )
        record = record_of(stored[rerun.spec.digest])
        if record.status != "done" and (event := how.get(rerun.spec.name)):
            record = replace(record, status=cast("Unfinished", event.status), reason=event.reason)
        records.append(record)
    return records
