"""The front door: what every command does, as one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fedgen_bench.base.devices import pick_device
from fedgen_bench.base.environment import fingerprint
from fedgen_bench.registry.datasets import places
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registry
from fedgen_bench.results.checking import check_folder, remake
from fedgen_bench.review.validation import Report, validate
from fedgen_bench.run.cohorts import Cohort
from fedgen_bench.run.events import OnEvent
from fedgen_bench.session import collecting, judging, merging, profiling, rerunning, running
from fedgen_bench.session.answers import Export, Merged, OnPlan, Reproduction, Tuning, Verdicts
from fedgen_bench.session.frames import Results
from fedgen_bench.session.profiling import Profile
from fedgen_bench.session.rerunning import RerunSelection
from fedgen_bench.session.running import Selection
from fedgen_bench.session.stock import Stock
from fedgen_bench.session.workplace import Workplace
from fedgen_bench.suite.source import suite_source

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.results.contrasts import Contrast
    from fedgen_bench.run.dry_run import Forecast


def _untold(_: object) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where one works: plugins, folders and machine. Each method does what the command of its name does.

    What a method raises is a `FedgenError`: a `UsageError` for a name or value that does not exist or fit, a
    `NotReadyError` with all that stands in the way of the first cell, a `StoreError` for a store or published folder
    that cannot be read, written or trusted, a `PairingError` for runs that must not stand side by side.

    Args:
        plugins: paths of plugin files.
        runs: folder of the results store.
        leaderboards: folder of the published leaderboards.
        data: a folder to look for data sets in first.
        files: by data set that is one file, another file for it.
        device: `auto`, `cpu`, `cuda` (all visible GPUs), one of these, as `cuda:1`, or `mps`.
        engine: where clients are trained.
        jobs: worker processes; None for as many as the cores allow, on CUDA one for each GPU.
        address: of an engine's cluster.
        cohort: clients that are trained in one pass over the backbone; `auto` for what is fastest here.
    """

    plugins: Sequence[str | Path] = ()
    runs: str | Path = "runs"
    leaderboards: str | Path = "leaderboards"
    data: str | Path | None = None
    files: Mapping[str, str | Path] = field(default_factory=dict)
    device: str = "auto"
    engine: str = "local"
    jobs: int | None = None
    address: str | None = None
    cohort: Cohort = 1

    @cached_property
    def registry(self) -> Registry:
        """All that is registered; its `failures` are what was left out."""
        return load_registry(self.plugins)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """What results would record of this machine, trained with one thread: processor, libraries, commit and more."""
        return fingerprint(pick_device(self.device), 1)

    @property
    def stock(self) -> Stock:
        """What is in the results store, run by run."""
        return Stock(Path(self.runs))

    def folder(self, suite: str | Path) -> Path:
        """The published folder of a suite."""
        return Path(self.leaderboards) / self._source(suite).name

    def run(
        self,
        suite: str | Path,
        *,
        contenders: Sequence[str] = (),
        added: Sequence[str] = (),
        seeds: Sequence[int] = (),
        overrides: Sequence[str] = (),
        keep_clients: bool = False,
        verbose: bool = False,
        on_plan: OnPlan | None = None,
        on_event: OnEvent | None = None,
    ) -> Results:
        """Run what is left of a suite, write its leaderboard, and return all its results.

        A published folder that holds results which the store lacks stays as it is: `kept` of what is returned says so,
        and `published` and `reproduced`, how these agree with them, where the store has the same cells.

        Args:
            suite: a registered suite's name, or the path of a suite's `.toml` file.
            contenders: only these, by name.
            added: strategies, adapters, compressors and privacy mechanisms that become contenders.
            seeds: only these.
            overrides: `path=value`; such runs are shown, never ranked.
            keep_clients: keep what clients keep to themselves when a run is done, for `export` of a client's model.
            verbose: log every round on stderr.
            on_plan: called once, before the first cell.
            on_event: called as cells start, commit rounds and end.
        """
        source = self._source(suite)
        return running.run(
            source,
            Selection(contenders=contenders, added=added, seeds=seeds, overrides=overrides),
            self._workplace_of(source),
            runs=Path(self.runs),
            leaderboards=Path(self.leaderboards),
            verbose=verbose,
            keep_clients=keep_clients,
            on_plan=on_plan or _untold,
            on_event=on_event or _untold,
        )

    def forecast(
        self,
        suite: str | Path,
        *,
        contenders: Sequence[str] = (),
        added: Sequence[str] = (),
        seeds: Sequence[int] = (),
        overrides: Sequence[str] = (),
        on_plan: OnPlan | None = None,
    ) -> tuple[Forecast, ...]:
        """What `run` would take, a cell each: steps, exact bytes, time, memory and costs. Nothing is written."""
        source = self._source(suite)
        selection = Selection(contenders=contenders, added=added, seeds=seeds, overrides=overrides)
        at, leaderboards = self._workplace_of(source), Path(self.leaderboards)
        return running.forecast(source, selection, at, leaderboards, on_plan or _untold)

    def tune(
        self,
        suite: str | Path,
        *,
        contenders: Sequence[str] = (),
        on_plan: OnPlan | None = None,
        on_event: OnEvent | None = None,
    ) -> Tuning:
        """Run what is left of a suite's trials, of all tuned contenders or some, and write `tuning.csv`."""
        source = self._source(suite)
        return running.tune(
            source,
            contenders,
            self._workplace_of(source),
            runs=Path(self.runs),
            leaderboards=Path(self.leaderboards),
            on_plan=on_plan or _untold,
            on_event=on_event or _untold,
        )

    def profile(
        self,
        suite: str | Path,
        *,
        contenders: Sequence[str] = (),
        seeds: Sequence[int] = (),
        rounds: int | None = None,
        overrides: Sequence[str] = (),
        operators: bool = False,
        out: str | Path | None = None,
        on_plan: OnPlan | None = None,
        on_event: OnEvent | None = None,
    ) -> Profile:
        """Run cells in a store that is thrown away, and write where their time, bytes and memory went.

        Args:
            suite: a registered suite's name, or the path of a suite's `.toml` file.
            contenders: only these, by name; the suite's reference when there are none.
            seeds: only these; the suite's first when there are none.
            rounds: of a cell; two at most when None.
            overrides: `path=value`.
            operators: also what torch does in two fits; cells are then run in this process, by engine `local`.
            out: folder of the tables and traces; `profile/<suite>` when None.
            on_plan: called once, before the first cell.
            on_event: called as cells start, commit rounds and end.
        """
        source = self._source(suite)
        return profiling.profile(
            source,
            Selection(contenders=contenders, seeds=seeds, overrides=overrides),
            self._workplace_of(source),
            rounds=rounds,
            operators=operators,
            out=None if out is None else Path(out),
            on_plan=on_plan or _untold,
            on_event=on_event or _untold,
        )

    def reproduce(
        self,
        folder: str | Path,
        *,
        contenders: Sequence[str] = (),
        seeds: Sequence[int] = (),
        sample: int | None = None,
        precision: Literal["fp32"] | None = None,
        out: str | Path | None = None,
        on_plan: OnPlan | None = None,
        on_event: OnEvent | None = None,
    ) -> Reproduction:
        """Run cells of a published folder again from its record alone, compare, and write `reproduction.json`.

        Cells are run in this machine's own processes, whatever the session's engine, in the cohorts that they were
        published with. The folder is only read.

        Args:
            folder: `leaderboards/<suite>`, or a copy of it.
            contenders: only these, by name.
            seeds: only these.
            sample: only so many of the chosen cells, always the same.
            precision: `fp32` for cells that were published in bf16.
            out: folder of the reruns' store and of the report; `reproduction/<suite>` when None.
            on_plan: called once, before the first cell.
            on_event: called as cells start, commit rounds and end.
        """
        return rerunning.reproduce(
            Path(folder),
            RerunSelection(contenders=contenders, seeds=seeds, sample=sample, precision=precision),
            replace(self._workplace, engine="local", address=None, cohort=1),
            out=None if out is None else Path(out),
            on_plan=on_plan or _untold,
            on_event=on_event or _untold,
        )

    def export(
        self,
        suite: str | Path,
        contender: str,
        *,
        out: str | Path,
        seed: int | None = None,
        client: int | None = None,
        overrides: Sequence[str] = (),
        merge: bool = False,
        benchmark: str | None = None,
    ) -> Export:
        """Write what a finished run of the store has trained, for peft, transformers or diffusers, with a model card.

        Args:
            suite: a registered suite's name, or the path of a suite's `.toml` file.
            contender: by name.
            out: a folder that does not exist yet, or is empty.
            seed: of the run; when None the first of the suite's that has finished.
            client: whose model; everybody's when None.
            overrides: those that it was run with.
            merge: the whole model, with the adapter merged into it.
            benchmark: data set of the hub (OWNER/NAME) that has the suite as a task: its result is written beside.
        """
        from fedgen_bench.session import exporting  # with torch, which no table needs

        source = self._source(suite)
        return exporting.export(
            source,
            contender,
            self._workplace_of(source),
            runs=Path(self.runs),
            seed=seed,
            client=client,
            overrides=overrides,
            merge=merge,
            benchmark=benchmark,
            out=Path(out),
        )

    def validate(self, folder: str | Path) -> Report:
        """What is wrong with a results folder, and what a reader should know. Nothing in it is executed."""
        return validate(Path(folder), self.registry)

    def merge(self, folder: str | Path, *, contenders: Sequence[str] = (), write: bool = True) -> Merged:
        """Add rows of another machine's folder to the published one of their suite, or only look at them."""
        return merging.merge(Path(folder), Path(self.leaderboards), self.registry, contenders=contenders, write=write)

    def claims(self, suite: str | Path) -> Verdicts:
        """Judge the claims about a suite's reference from published results; write `claims.md` with its charts."""
        return judging.judge(Path(self.leaderboards), self._source(suite).name, self.registry)

    def check_claims(self, suite: str | Path) -> tuple[str, ...]:
        """Files of the claims that are not what the published results give; charts are not compared, their data are."""
        return judging.outdated(Path(self.leaderboards), self._source(suite).name, self.registry)

    def leaderboard(self, suite: str | Path, *, replace: bool = False) -> Results:
        """Write a suite's leaderboard from the store.

        Args:
            suite: a registered suite's name, or the path of a suite's `.toml` file.
            replace: also in place of a folder that holds results which the store lacks.

        Raises:
            WouldLoseError: there is such a folder, and it is not to be replaced.
        """
        folders = {"runs": Path(self.runs), "leaderboards": Path(self.leaderboards)}
        return collecting.published(self._source(suite), self.registry, **folders, replace=replace)

    def check_leaderboard(self, suite: str | Path) -> tuple[str, ...]:
        """Files of a suite's published folder that are not what its results give."""
        return tuple(check_folder(self.folder(suite), self.registry))

    def remake_leaderboard(self, suite: str | Path) -> None:
        """Write a suite's published folder again from its own results, without a store."""
        source = self._source(suite)
        remake(Path(self.leaderboards) / source.name, source, self.registry)

    def load(self, where: str | Path, suite: str | Path | None = None) -> Results:
        """Results of a published folder, or of a store's suite; the session's own folders do not matter."""
        return collecting.load(Path(where), suite, self.registry)

    def draw(self, folder: str | Path, out: str | Path | None = None, suffix: str = "svg") -> tuple[Path, ...]:
        """Draw a published folder's plots into `out`, as `svg`, `png` or `pdf`, or again in their place; the files."""
        return collecting.drawn(Path(folder), None if out is None else Path(out), suffix, self.registry)

    def compare(
        self, suite: str | Path, first: str, second: str, *, published: str | Path | None = None
    ) -> tuple[Contrast, ...]:
        """Two contenders' metrics seed by seed, SECOND minus FIRST, from the store or the leaderboards `published`."""
        return collecting.compared(self._source(suite), self.registry, first, second, Path(self.runs), published)

    @property
    def _workplace(self) -> Workplace:
        return Workplace(
            registry=self.registry,
            data=places(self.registry, self.data, self.files),
            device_option=self.device,
            engine=self.engine,
            jobs=self.jobs,
            address=self.address,
            cohort=self.cohort,
        )

    def _workplace_of(self, source: SuiteSource) -> Workplace:
        at = self._workplace
        return replace(at, data=replace(at.data, beside=source.beside))

    def _source(self, suite: str | Path) -> SuiteSource:
        return suite_source(suite, self.registry)
