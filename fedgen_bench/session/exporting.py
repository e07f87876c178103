"""A finished run's model, written for other libraries."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import DataError, UsageError
from fedgen_bench.exports.benchmark import check_benchmark, write_eval_results
from fedgen_bench.exports.card import Subject, card
from fedgen_bench.exports.choosing import choose
from fedgen_bench.exports.models import check_kept, check_trained, client_model, global_model
from fedgen_bench.exports.writing import check_out, exporter_of, write_model, written_whole
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.store import Store
from fedgen_bench.session.answers import Export
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.contract.exporting import HowToLoad
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.session.workplace import Workplace
    from fedgen_bench.suite.cells import CellSpec


def export(
    source: SuiteSource,
    contender: str,
    at: Workplace,
    *,
    runs: Path,
    seed: int | None,
    client: int | None,
    overrides: Sequence[str],
    merge: bool,
    benchmark: str | None,
    out: Path,
) -> Export:
    """Write the global model of a contender's run, or one client's, into the folder `out`."""
    import torch

    from fedgen_bench.federation.assembly import assemble
    from fedgen_bench.federation.attaching import attach
    from fedgen_bench.federation.components import build
    from fedgen_bench.federation.loader import Loader
    from fedgen_bench.federation.seeding import seed_tree

    check_out(out)
    settings = (word for one in overrides for word in ("--set", one))
    command = shlex.join(["fedgen-bench", "run", "--suite", source.option, "--contender", contender, *settings])
    suite = load_suite(source, at.registry)
    with Store(runs, read_only=True) as store:
        chosen = choose(store, suite, at.registry, contender, seed, overrides, command)
        check_trained(chosen, client)
        if benchmark is not None:
            check_benchmark(benchmark, chosen, client)
        spec, journal = chosen.run.spec, store.journal(chosen.run.spec)
        kept = None if client is None else check_kept(chosen, journal, command)
        loader = Loader(at.registry, finder(at.registry, at.data, fetch=False))
        _check_same(spec, loader)
        task = loader.task(spec)
        exporter = exporter_of(task, spec.config.task.name)
        if client is None or kept is None:
            adapted = attach(at.registry, spec.config.contender.adapter, task, seed_tree(spec))
            model = global_model(chosen, journal)
        else:
            torch.set_num_threads(spec.config.training.threads)
            experiment = assemble(spec, loader, torch.device(at.device))
            adapted, model = experiment.adapted, client_model(experiment, journal, kept, client)
    datasets = list(build(at.registry, "task", spec.config.task).datasets)
    if exporter.name in at.registry.components["backbone"]:
        datasets += at.registry.get("backbone", exporter.name).spec.made_from
    subject = Subject(
        client_id=client,
        n_steps=spec.config.own.steps,
        licences={name: at.registry.get("dataset", name).spec.licence for name in datasets},
    )
    made: list[HowToLoad] = []

    def write(folder: Path) -> None:
        form, loading = write_model(
            adapted, model, task, exporter, spec.config.contender.adapter.name, folder, merge=merge
        )
        text = card(suite.suite.title, form, chosen, subject, exporter, loading, str(out))
        (folder / "README.md").write_text(text, encoding="utf-8")
        if benchmark is not None:
            write_eval_results(benchmark, chosen, folder)
        made.append(loading)

    written_whole(out, write)
    return Export(
        folder=out,
        seed=spec.seed,
        seeds=tuple(one.seed for one in chosen.siblings),
        client=client,
        code=made[0].of(str(out)),
    )


def _check_same(spec: CellSpec, loader: Loader) -> None:
    """Whether components and files are those of the run.

    Raises:
        UsageError: a component is of another version.
        DataError: a file has changed.
    """
    for kind, one in spec.config.components():
        here = loader.registry.get(kind, one.name).spec.version
        if here != one.version:
            raise UsageError(
                f"{spec.name} was run with version {one.version} of {kind} `{one.name}`; installed is version {here}. "
                "Run it again, or export it with the version that it was run with."
            )
    for name, sha256 in loader.resolved(replace(spec, content={})).content.items():
        if spec.content.get(name) != sha256:
            raise DataError(
                f"{spec.name} was run with another `{name}` than there is here. Put the same one back, or run it again."
            )
