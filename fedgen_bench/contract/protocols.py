"""What plugins implement. Every method is a function of its arguments: contexts in, new values out, nothing mutated."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import nn

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.contexts import ClientContext, RoundContext, ServerContext
    from fedgen_bench.contract.data import ClientData, Holdings, MicroBatch, Parts, Tensors, UnitTable
    from fedgen_bench.contract.datasets import Chosen
    from fedgen_bench.contract.messages import Fit, FitReport, Model, Payload, Update
    from fedgen_bench.contract.secrets import Exposure, Secrets
    from fedgen_bench.contract.seeds import SeedTree

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"  # what `Task.showcase` begins with


class Strategy(Protocol):
    """A federated method, both halves in one place.

    A state is a frozen dataclass of tensors, tensor maps, numbers and strings; the core checkpoints it.
    """

    def init(self, start: Tensors, ctx: ServerContext) -> Any:
        """The state before the first round; `start` holds the adapter's initial tensors."""

    def send(self, state: Any, ctx: ClientContext) -> Payload | None:
        """What this client receives; None sends nothing."""

    def client(self, payload: Payload | None, ctx: ClientContext) -> Generator[Fit, FitReport, Update]:
        """The client half: yield `Fit` requests, receive their `FitReport`s, return one `Update`."""

    def aggregate(self, state: Any, updates: Iterable[Update], ctx: RoundContext) -> Any:
        """The next state. `updates` streams in ascending client id and may be read once; at least one arrives."""

    def export(self, state: Any, ctx: ClientContext | None) -> Tensors | Model | None:
        """The adapter's tensors for evaluation: of one client, or global when `ctx` is None.

        A `Model` says which updates of the backbone go with them. None means that there is no global model.
        """


@runtime_checkable
class Personalizing(Protocol):
    """What a strategy has besides where its clients' last local steps are other than plain training of their model."""

    def personalize(self, state: Any, ctx: ClientContext) -> Fit:
        """How a client goes on from what `export` gives it: start, frozen parts, penalty; the core counts the steps."""


@runtime_checkable
class Absorbing(Protocol):
    """What a strategy has besides where its server need not wait for a round: with devices, clients arrive one by one.

    `aggregate` is what the method does where there are no devices, and all of a round's clients arrive at once.
    """

    def absorb(self, state: Any, sent: Any, update: Update, ctx: RoundContext) -> Any:
        """The next state after one update; `sent` is the state that its client was sent from, `ctx.cohort` the client.

        What `send` gives is taken from `sent`, too, so how stale an update is can be read from the two states.
        """


class Adapter(Protocol):
    """Makes part of a backbone trainable."""

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Adapt a private copy of the backbone; initial values come from the `adapter` stream alone.

        Raises ValueError, in a sentence that says what is wrong and one that says what to do, when it does not fit.
        """


class Partitioner(Protocol):
    """Splits units over clients."""

    def split(self, units: UnitTable, n_clients: int, rng: np.random.Generator) -> Sequence[np.ndarray]:
        """One array of unit indices a client; disjoint, each client's in natural order; a client may be empty.

        `Parts` is such a sequence in two arrays, for many clients.
        """


class Task(Protocol):
    """Data, backbone, loss and evaluation of one kind of model. Built once a process, shared by its cells.

    A task of texts may also have `free_positions`: how many positions its longest text leaves to an adapter, or None.
    """

    backbone_parameters: int
    provenance: Mapping[str, str]

    def units(self, seeds: SeedTree) -> UnitTable:
        """What is split over clients."""

    def client_data(self, units: np.ndarray) -> ClientData:
        """Training examples and held-out tail of these units."""

    def new_module(self) -> nn.Module:
        """A private copy of the pretrained backbone, in evaluation mode, on the CPU."""

    def loss(self, module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
        """Mean training loss of a batch; noise, if any, comes from `generator`."""

    def observe(self, module: nn.Module, data: Any, seeds: SeedTree) -> Mapping[str, Any]:
        """Evidence from evaluating `module` on a client's held-out tail or on `split(name)`; metrics read it.

        Numbers, strings and CPU tensors, also inside tuples and dataclasses. `halves`, which a task need not give, are
        two mappings of evidence of halves of the data, or none where they cannot be divided: records tell from them
        how far a client's figure is off by chance.
        """

    def split(self, name: str) -> Any:
        """The evaluation data called `valid_subset` (read every round), `valid` or `test` (read once)."""

    def showcase(self, module: nn.Module, seeds: SeedTree) -> bytes | str | None:
        """What `module` generates, from the same noise for every contender: a PNG's bytes, a text, or nothing."""


@runtime_checkable
class Declaring(Protocol):
    """What a task has besides, so that a metric that it does not serve is told before the first cell."""

    def evidence(self, split: str) -> frozenset[str]:
        """Names that `observe` gives on `split(name)`; a client's held-out tail has those of `valid_subset`."""


@runtime_checkable
class Counting(Protocol):
    """What a task has besides, so that who holds data is known without preparing everybody's."""

    def holdings(self, parts: Parts) -> Holdings:
        """What `client_data` would give each client, counted; nothing may be prepared for it."""


@runtime_checkable
class HoldingOut(Protocol):
    """What a task has besides so that ways of personalisation are tuned on a slice of clients' training parts."""

    def trained_units(self, units: np.ndarray) -> np.ndarray:
        """The units that `client_data(units)` does not hold out, in their order."""


@runtime_checkable
class Fusing(Protocol):
    """What a task has besides where several clients may be trained in one pass through the backbone (`--cohort`)."""

    def losses(
        self, module: nn.Module, batches: Sequence[Tensors], generators: Sequence[torch.Generator]
    ) -> Sequence[torch.Tensor]:
        """`loss` of each batch with its generator, from one call of `module` on the rows of all, batch after batch."""


@runtime_checkable
class MicroBatching(Protocol):
    """What a task has besides where a batch may be trained a few examples at a time (`training.micro_batch_size`)."""

    def micro_batches(self, batch: Tensors, size: int, generator: torch.Generator) -> Sequence[MicroBatch]:
        """The batch in parts of at most `size` examples, in order; their shares add up to 1.

        The sum of share x `loss` over the parts is `loss` of the batch. What the latter draws from `generator` is drawn
        here and stands in the parts, whose own losses draw nothing.
        """


@runtime_checkable
class Planting(Protocol):
    """What a task has besides where secrets are planted with clients, so that it is measured what models give away."""

    @property
    def secrets(self) -> Secrets | None:
        """Those that are planted; None before `planted`, and where none are asked for."""

    def planted(self, parts: Parts, cohorts: Iterable[Sequence[int]], seeds: SeedTree) -> Task:
        """The task as the cells of one seed train on it: itself where no secrets are asked for, never changed in place.

        What is drawn comes from the stream `secrets`. Owners are clients of `cohorts`, which are those of every round,
        and hold at least one training example without them; what is held out stays as it is. Raises DataError where
        the secrets cannot be planted.
        """

    def exposures(self, module: nn.Module, numbers: Sequence[int]) -> Sequence[Exposure]:
        """What `module` gives away of the secrets and controls with these numbers, in their order."""


class TaskFactory(Protocol):
    """What a task's `build` returns: parameters are known, data are not read yet."""

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets (see `fedgen-bench data`) that `load` will ask for."""

    def files(self, find: Callable[[str | Path], Path]) -> Mapping[str, Path | Chosen]:
        """Files and folders that `load` will read, by name; a parameter that names a path gives its own name.

        A parameter in a table of parameters is called `table.name`. Their content is part of a cell's identity. Raises
        DataError as `load` does.
        """

    def load(self, find: Callable[[str | Path], Path]) -> Task:
        """Read data and backbone.

        `find(dataset)` gives a checked folder or raises DataError; `find(Path(text))` says where a path of the
        parameters leads, which begins beside the file of a suite of one's own, else in the working folder.
        """


class Metric(Protocol):
    """A number from a task's evidence, or one for each of several parts (classes, for instance) by name."""

    def compute(self, evidence: Mapping[str, Any]) -> float | Mapping[str, float]:
        """Raises KeyError when the task does not provide what the metric needs."""


class Compressor(Protocol):
    """Makes a map of tensors smaller and back again. Shapes and dtypes of what it gives depend on those it is given.

    `error_feedback` asks the core to keep what was lost at the client and to add it to the client's next change.
    """

    error_feedback: bool

    def compress(self, tensors: Tensors) -> Tensors:
        """What travels instead."""

    def decompress(self, tensors: Tensors, like: Tensors) -> Tensors:
        """Tensors with the names, shapes and dtypes of `like`. Raises ValueError when that cannot be had."""


class Attack(Protocol):
    """A hostile client's way to change its update."""

    def distort(self, tensors: Tensors, received: Tensors, generator: torch.Generator) -> Tensors:
        """What is sent instead of `tensors`; `received` is what the server sent under the same names."""


class TableFormat(Protocol):
    """Turns a leaderboard into one file."""

    def render(self, table: Any) -> str | bytes | None:
        """What the file holds, the same for the same table; None where the table gives no such file."""


@runtime_checkable
class Drawing(Protocol):
    """A table format whose SVG file can be had in other formats; `Plot.save` of the Python API asks for them."""

    def picture(self, table: Any, file_format: str) -> bytes:
        """What `render` draws, as `png` or `pdf`."""
