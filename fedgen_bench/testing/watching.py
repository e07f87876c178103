"""What a strategy is given and what its clients train, watched and noted; and when two maps are equal to the bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.contract.contexts import ClientContext
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.messages import Fit, FitReport, Model, Payload

if TYPE_CHECKING:
    from collections.abc import MutableMapping


@dataclass(frozen=True)
class Trained:
    """A client's last fit of a round: what it was told, what it asked for and what it got."""

    ctx: ClientContext
    request: Fit
    report: FitReport

    @property
    def model(self) -> Model:
        """The locally trained model."""
        return Model(self.report.tensors, self.request.merges)


class Noted:
    """A strategy whose clients' fits are noted, by client."""

    def __init__(self, strategy: Any, trained: MutableMapping[int, Trained]) -> None:
        self._strategy, self._trained = strategy, trained

    def client(self, payload: Payload | None, ctx: ClientContext) -> Any:
        """The client half, passed through."""
        half = self._strategy.client(payload, ctx)
        answer: Any = None
        while True:
            try:
                request = half.send(answer)
            except StopIteration as end:
                return end.value
            answer = yield request
            self._trained[ctx.client_id] = Trained(ctx, request, answer)


class Watched:
    """A strategy whose client half must leave its payload and context as they are, at every yield."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def client(self, payload: Payload | None, ctx: ClientContext) -> Any:
        """The client half, compared around every step."""
        before = fingerprint((payload, ctx))
        half = self._strategy.client(payload, ctx)
        answer: Any = None
        reports: list[tuple[Any, str]] = []
        while True:
            try:
                request = half.send(answer)
            except StopIteration as end:
                self._compare(before, (payload, ctx), reports)
                return end.value
            self._compare(before, (payload, ctx), reports)
            answer = yield request
            reports.append((answer, fingerprint(answer)))

    def _compare(self, before: str, now: Any, reports: list[tuple[Any, str]]) -> None:
        name = type(self._strategy).__name__
        assert fingerprint(now) == before, f"{name}.client changed its payload or context"
        assert all(fingerprint(report) == was for report, was in reports), f"{name}.client changed a fit's report"


def fingerprint(value: Any) -> str:
    """A text that changes whenever a tensor, number or name anywhere inside `value` does."""
    import torch

    if isinstance(value, torch.Tensor):
        raw = value.detach().contiguous().flatten().view(torch.uint8) if value.numel() else value.flatten()
        return f"{value.dtype}{tuple(value.shape)}{raw.tolist()}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [f"{one.name}={fingerprint(getattr(value, one.name))}" for one in dataclasses.fields(value)]
        return f"{type(value).__name__}({inside})"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{fingerprint(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(fingerprint(one) for one in value)}]"
    return repr(value)


def same_bits(ours: Tensors | None, theirs: Tensors | None) -> bool:
    """Equal names, dtypes, shapes and bits, in whatever order of names."""
    if ours is None or theirs is None:
        return ours is theirs
    return fingerprint(dict(sorted(ours.items()))) == fingerprint(dict(sorted(theirs.items())))
