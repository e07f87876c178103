"""Suites from Python: run one, load what is stored or published, and look at it as data frames and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError, unknown
from fedgen_bench.base.files import present
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.protocols import Drawing
from fedgen_bench.registry.datasets import places
from fedgen_bench.registry.placement import placement
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.details import LEDGER
from fedgen_bench.results.leaderboard import COLUMNS, Record, Table, build_table
from fedgen_bench.results.publish import finished, publish, records_of, render
from fedgen_bench.results.published import RESULTS, open_folder
from fedgen_bench.results.store import Store
from fedgen_bench.run.events import Event
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    import pandas as pd

    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.results.store import StoredRun

_SUFFIXES = (".svg", ".png", ".pdf")


@dataclass(frozen=True)
class Plot:
    """A drawing as SVG text; notebooks show it.

    Args:
        svg: the text.
        picture: draws it as `png` or `pdf`; None where its table format cannot.
    """

    svg: str
    picture: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> None:
        """Write the file, in the format that its suffix names: `.svg`, `.png` or `.pdf`.

        Raises:
            UsageError: the suffix is another one, or the plot's table format draws SVG alone.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in _SUFFIXES:
            allowed = f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}"
            raise UsageError(f"A plot is not saved as `{file.name}`. Give it the suffix {allowed}.")
        if suffix == ".svg":
            file.write_text(self.svg, encoding="utf-8")
        elif self.picture is None:
            raise UsageError(f"This plot is drawn as SVG alone, not as `{file.name}`. Give it the suffix .svg.")
        else:
            file.write_bytes(self.picture(suffix.removeprefix(".")))


@dataclass(frozen=True)
class Results:
    """Runs of one suite.

    Args:
        table: the leaderboard, with what its formats need.
        records: one published record a run.
        stored: the runs as the store has them; None when only published results were loaded.
        messages: rows of a published folder's ledger.
    """

    table: Table
    records: tuple[Record, ...]
    stored: tuple[StoredRun, ...] | None = None
    messages: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)
    _registry: Registry | None = field(default=None, repr=False, compare=False)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row a contender, ranked ones first, with the columns of `table.csv`."""
        import pandas as pd

        return pd.DataFrame([dict(row) for row in self.table.rows], columns=list(COLUMNS))

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row for every evaluated round of a run: rounds done, the followed metric, uplink bytes until then."""
        return self._frame(
            ("n_rounds", self.table.followed.metric, "uplink_bytes"),
            lambda record: [(int(done), value, int(uplink)) for done, value, uplink in record["curve"]],
        )

    @cached_property
    def clients(self) -> pd.DataFrame:
        """One row for every evaluated client of a run and model (`global`, `personalized`): the followed metric."""
        return self._frame(
            ("model", "client_id", self.table.followed.metric),
            lambda record: [
                (model, int(client_id), value)
                for model, values in record["per_client"].items()
                for client_id, value in values.items()
            ],
        )

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row for every booked message.

        Raises:
            UsageError: these results were loaded from a folder that was published without one.
        """
        import pandas as pd

        if self.stored is None:
            return self._published_ledger()
        rows = [
            {"contender": run.spec.contender, "seed": run.spec.seed, "off_suite": ", ".join(run.spec.off_suite)}
            | vars(entry)
            for run in self.stored
            for report in run.rounds
            for entry in report.ledger
        ]
        return pd.DataFrame(rows)

    def _published_ledger(self) -> pd.DataFrame:
        import pandas as pd

        if not self.messages:
            raise UsageError(
                'These results were published without a ledger. Load the store: `load_results("runs", suite=...)`.'
            )
        off_suite = {record["digest"]: ", ".join(record["off_suite"]) for record in self.records}
        frame = pd.DataFrame(self.messages)
        frame.insert(2, "off_suite", frame["digest"].map(off_suite))
        return frame.drop(columns="digest")

    def plot(self, name: str = "convergence") -> Plot:
        """A plot of the leaderboard: a registered table format that draws, by the name of its file without `.svg`.

        Raises:
            UsageError: there is no such plot, with the closest name, or none of this table.
        """
        registry = load_registry() if self._registry is None else self._registry
        drawn = {file.removesuffix(".svg") for file in _files(registry) if file.endswith(".svg")}
        if name not in drawn:
            raise UsageError(unknown("plot", name, drawn))
        drawing = render(self.table, registry, only=f"{name}.svg")[f"{name}.svg"]
        if drawing is None:
            raise UsageError(f"This table gives no plot `{name}`. Choose another.")
        found = next(one for one in registry.components["table_format"].values() if one.spec.filename == f"{name}.svg")
        draws = found.spec.build(make_params(found.spec.params, {})[0])
        return Plot(drawing.decode(), partial(draws.picture, self.table) if isinstance(draws, Drawing) else None)

    def _frame(self, columns: Sequence[str], rows: Callable[[Record], Sequence[tuple[Any, ...]]]) -> pd.DataFrame:
        import pandas as pd

        found = [
            (record["contender"], record["seed"], ", ".join(record["off_suite"]), *row)
            for record in self.records
            for row in rows(record)
        ]
        return pd.DataFrame(found, columns=["contender", "seed", "off_suite", *columns])


def _files(registry: Registry) -> set[str]:
    return {one.spec.filename for one in registry.components["table_format"].values()}


def run_suite(
    suite: str,
    *,
    contenders: Sequence[str] = (),
    added: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
    plugins: Sequence[str | Path] = (),
    runs: str | Path = "runs",
    leaderboards: str | Path = "leaderboards",
    data: str | Path | None = None,
    files: Mapping[str, str | Path] = MappingProxyType({}),
    device: str = "auto",
    engine: str = "local",
    jobs: int = 1,
    address: str | None = None,
    on_event: Callable[[Event], object] | None = None,
) -> Results:
    """Run what is left of a suite, write its leaderboard, and return all its results, as `fedgen-bench run` does.

    Args:
        suite: a registered suite's name.
        contenders: only these, by name.
        added: strategies, adapters and compressors that become contenders (`--with`).
        seeds: only these.
        overrides: `path=value` (`--set`); such runs are shown, never ranked.
        plugins: paths of plugin files.
        runs: folder of the store.
        leaderboards: folder that leaderboards are written to.
        data: a folder to look for data sets in first.
        files: by data set that is one file, another file for it (`--file`).
        device: `auto`, `cpu` or `cuda`.
        engine: where clients are trained (`--engine`).
        jobs: worker processes; with more than one a script needs `if __name__ == "__main__":` around the call.
        address: of an engine's cluster (`--address`).
        on_event: called as cells start, commit rounds and end.

    Raises:
        UsageError: a name or value that does not exist or fit.
        NotReadyError: all that stands in the way of the first cell, such as missing data.
        StoreError: the store cannot be used.
    """
    registry = load_registry(plugins)
    source = registry.get("suite", suite).spec
    spec = load_suite(source, registry, overrides)
    cells = expand(spec, registry, contenders=contenders, added=added, seeds=seeds, off_suite=overrides)
    sources = places(registry, data, files)
    with Store(Path(runs)) as store:
        place = placement(registry, engine, jobs, address, jobs)
        job = Job(Path(runs), sources, device, registry.plugin_files, engine, place.params)
        run_cells(cells, registry, job, store, workers=place.n_cells, on_event=on_event or _ignore)
        plain = load_suite(source, registry)
        table, _ = publish(source, plain, registry, store, Path(leaderboards))
        stored = finished(store, plain)
    return Results(table, tuple(records_of(stored, plain)), tuple(stored), _registry=registry)


def _ignore(_: Event) -> None:
    pass


def load_results(where: str | Path, suite: str | None = None, *, plugins: Sequence[str | Path] = ()) -> Results:
    """Results from a published folder (`leaderboards/<suite>`), or from a store (`runs`) for one suite.

    Raises:
        UsageError: there are none, or a store's suite is not named.
        StoreError: they cannot be read.
        PairingError: they must not stand side by side.
    """
    registry = load_registry(plugins)
    folder = Path(where)
    if present(folder / RESULTS):
        found = open_folder(folder)
        table = build_table(load_suite(found.source, registry), found.records, registry)
        return Results(table, tuple(found.records), None, tuple(found.rows(LEDGER)), registry)
    if suite is None:
        raise UsageError(f"{folder} holds no {RESULTS}. If it is a store, name the suite: `load_results(..., suite=)`.")
    spec = load_suite(registry.get("suite", suite).spec, registry)
    with Store(folder, lock=False, create=False) as store:
        stored = finished(store, spec)
    records = records_of(stored, spec)
    return Results(build_table(spec, records, registry), tuple(records), tuple(stored), _registry=registry)
