"""Tables of which a batch uses some rows, such as embeddings: optimizers leave the rows alone that were never used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

_Kept = tuple[nn.Parameter, torch.Tensor, torch.Tensor]


class UnusedRows:
    """Keeps rows of tables that no gradient of a fit has reached at their values, whatever weight decay would do.

    Tables are the weights of every `nn.Embedding` and `nn.EmbeddingBag`, and the parameters that a module names in an
    attribute `row_tables`. A row is kept until the step that first has a gradient for it.

    Args:
        module: where the tables are looked for.
        parameters: those that are trained.
    """

    def __init__(self, module: nn.Module, parameters: Sequence[nn.Parameter]) -> None:
        trained = {id(one) for one in parameters}
        self._kept: list[_Kept] = [
            (table, table.detach().clone(), torch.zeros(len(table), dtype=torch.bool, device=table.device))
            for table in {id(one): one for one in _tables(module) if id(one) in trained}.values()
        ]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """`optimizer.step()` on all but the rows that have had no gradient so far."""
        for table, _, used in self._kept:
            if table.grad is not None:
                used.logical_or_((table.grad != 0).flatten(1).any(dim=1))
        optimizer.step()
        for table, start, used in self._kept:
            table[~used] = start[~used]


def _tables(module: nn.Module) -> Iterator[nn.Parameter]:
    for part in module.modules():
        names = ("weight",) if isinstance(part, nn.Embedding | nn.EmbeddingBag) else getattr(part, "row_tables", ())
        own = dict(part.named_parameters(recurse=False))
        yield from (own[name] for name in names if name in own)
