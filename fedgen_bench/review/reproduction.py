"""Cells of a published folder to run again: chosen, made into CellSpecs from the record alone, and reported on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from fedgen_bench.base.errors import StoreError, UsageError, unknown
from fedgen_bench.contract.params import make_params
from fedgen_bench.registry.datasets import known_datasets
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.results.pairing import comparable
from fedgen_bench.review.comparison import ComparedCell, SeedTest
from fedgen_bench.suite.cellconfig import provenance_key
from fedgen_bench.suite.cells import CellSpec

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.record import Done, Origin, Record
    from fedgen_bench.suite.cellconfig import CellConfig

FP32 = "training.precision=fp32"
_RESTORE = "Restore the folder from its commit."


@dataclass(frozen=True)
class Rerun:
    """A published cell and the run that repeats it.

    Args:
        changes: how the run differs from what was published, as sentences without a full stop.
    """

    record: Done
    spec: CellSpec
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`contender/seed`."""
        return f"{self.spec.contender}/{self.spec.seed}"

    @property
    def cohort(self) -> int:
        """Clients that were trained in one pass."""
        size = self.record.environment.get("cohort", 1)
        return size if isinstance(size, int) and size > 0 else 1


def choose(
    records: Sequence[Record], contenders: Sequence[str] = (), seeds: Sequence[int] = (), sample: int | None = None
) -> list[Done]:
    """Finished records of the suite itself, by contender (or a swept one's base name), seed, and a fixed sample.

    Raises:
        UsageError: a contender or seed without such a record, or no cell that has both.
        StoreError: a cell is there twice.
    """
    able = comparable(records)
    cells = [record.name for record in able]
    if twice := sorted({cell for cell in cells if cells.count(cell) > 1}):
        raise StoreError(f"{twice[0]} was published twice: the folder was edited. {_RESTORE}")
    names = {name for record in able for name in (record.contender, record.method)}
    known_seeds = {str(record.seed) for record in able}
    for name in contenders:
        if name not in names:
            raise UsageError(unknown("finished contender", name, names))
    for seed in seeds:
        if str(seed) not in known_seeds:
            raise UsageError(unknown("finished seed", str(seed), known_seeds))
    chosen = [
        record
        for record in able
        if (not contenders or {record.contender, record.method} & set(contenders))
        and (not seeds or record.seed in seeds)
    ]
    if not chosen:
        raise UsageError("No finished cell has this contender and this seed. Name others, or leave one option out.")
    if sample is not None and sample < 1:
        raise UsageError(f"A sample of {sample} cells is none. Ask for 1 or more.")
    sampled = sorted(record.digest for record in chosen)[:sample]
    return [record for record in chosen if record.digest in sampled]


def reruns_of(records: Sequence[Done], registry: Registry, precision: Literal["fp32"] | None = None) -> list[Rerun]:
    """The run that repeats each record, made from the record's own configuration.

    Raises:
        StoreError: a configuration is not the one that its digest was made from, or of another cell or suite.
    """
    reruns = [_rerun_of(record, registry, precision) for record in records]
    first = reruns[0].spec
    for rerun in reruns:
        if (rerun.spec.suite, rerun.spec.suite_version) != (first.suite, first.suite_version):
            raise StoreError(
                f"{rerun.name} is of suite {rerun.spec.suite}, version {rerun.spec.suite_version}, others are of "
                f"{first.suite}, version {first.suite_version}: the folder was mixed up. {_RESTORE}"
            )
    return reruns


def _rerun_of(record: Done, registry: Registry, precision: Literal["fp32"] | None) -> Rerun:
    config = record.config
    spec = CellSpec(config)
    named = (record.contender, record.seed)
    if spec.digest != record.digest or named != (spec.contender, spec.seed) or not NAME.match(spec.suite):
        raise StoreError(
            f"The configuration of {record.name} is not what its digest {record.digest} was made from: the folder was "
            f"edited. {_RESTORE}"
        )
    changes = list(_component_changes(config, registry))
    published = config.training.precision
    if precision is not None and published != precision:
        training = config.training.model_copy(update={"precision": precision})
        spec = CellSpec(config.model_copy(update={"training": training}), (FP32,))
        changes.append(f"precision {published} published, {precision} here")
    return Rerun(record, spec, tuple(changes))


def _component_changes(config: CellConfig, registry: Registry) -> Iterator[str]:
    for kind, theirs in config.components():
        name, ours = theirs.name, registry.components[kind].get(theirs.name)
        if ours is None:
            continue
        if ours.spec.version != theirs.version:
            yield f"{kind} {name} version {theirs.version} published, {ours.spec.version} here"
        elif ours.provenance.source_sha256 != theirs.source_sha256:
            yield f"{kind} {name} has another source here than was published"


def problems(reruns: Sequence[Rerun], registry: Registry) -> list[str]:
    """Why cells could not run here: components that are missing or refuse the published parameters. Each once."""
    sentences = [sentence for rerun in reruns for sentence in _problems(rerun, registry)]
    return list(dict.fromkeys(sentences))


def _problems(rerun: Rerun, registry: Registry) -> Iterator[str]:
    for kind, one in rerun.spec.config.components():
        name, known = one.name, registry.components[kind]
        if name not in known:
            came = rerun.record.provenance.get(provenance_key(kind, name))
            yield f"{kind} `{name}` is not installed. {_provide(came)}"
            continue
        _, refused = make_params(known[name].spec.params, one.params)
        for _, sentence in refused:
            yield f"{kind} `{name}` refuses what was published: {sentence} Install the version that the record names."
    for metric in rerun.spec.config.evaluation.metrics:
        if metric not in registry.components["metric"]:
            yield f"metric `{metric}` is not installed. Install what has it, or give its file with `--plugin FILE`."


def _provide(came: Origin | None) -> str:
    if came is None or not came.distribution:
        return "The record names no source."
    if came.distribution.startswith("file:"):
        return f"It was in the file {came.distribution.removeprefix('file:')}: give that with `--plugin FILE`."
    return f"Install `{came.distribution}` {came.version}, which the record names."


def datasets_of(record: Done, registry: Registry) -> tuple[str, ...]:
    """Data sets that a cell reads; optional ones where the published run had them: its data are named after them."""
    task = record.config.task
    spec = registry.get("task", task.name).spec
    params, refused = make_params(spec.params, task.params)
    had = {name.rpartition(" ")[2] for name in record.facts.data}
    optional = (name for name, one in known_datasets(registry).items() if one.optional and name in had)
    return (*(() if refused else spec.build(params).datasets), *optional)


def report(cells: Sequence[ComparedCell], tests: Sequence[SeedTest], selection: Mapping[str, Any]) -> str:
    """`reproduction.json`: `selection` (what was chosen, from which results) and what came out.

    It has no clock: equal reproductions give equal bytes.
    """
    body = {
        **selection,
        "reproduced": all(cell.reproduced for cell in cells),
        "cells": [
            {
                **{key: value for key, value in asdict(cell).items() if key != "values"},
                "reproduced": cell.reproduced,
                "values": [{**asdict(one), "difference": one.difference} for one in cell.values],
            }
            for cell in cells
        ],
        "tests": [{**asdict(test), "text": test.text} for test in tests],
    }
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
