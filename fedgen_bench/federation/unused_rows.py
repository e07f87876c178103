"""Tables of which a batch uses some rows, such as embeddings: optimizers leave the rows alone that were never used."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch
from torch import nn

_Kept = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class UnusedRows:
    """Keeps rows of tables that no gradient of a fit has reached at their values, whatever weight decay would do.

    A row is kept until the step that first has a gradient for it.

    Args:
        tables: trained parameters whose first dimensions count rows.
        n_dimensions: how many of them do.
    """

    def __init__(self, tables: Collection[torch.Tensor], n_dimensions: int = 1) -> None:
        self._kept: list[_Kept] = [
            (
                table,
                table.detach().clone(),
                torch.zeros(table.shape[:n_dimensions], dtype=torch.bool, device=table.device),
            )
            for table in tables
        ]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """`optimizer.step()` on all but the rows that have had no gradient so far."""
        for table, _, used in self._kept:
            if table.grad is not None:
                used.logical_or_((table.grad != 0).flatten(used.ndim).any(dim=-1))
        optimizer.step()
        for table, start, used in self._kept:
            torch.where(used.view(*used.shape, *[1] * (table.ndim - used.ndim)), table, start, out=table)


def tables_of(module: nn.Module) -> list[nn.Parameter]:
    """The weights of every `nn.Embedding` and `nn.EmbeddingBag`, and what a module names in an attribute `row_tables`.

    Each once.
    """
    return list({id(one): one for one in _tables(module)}.values())


def _tables(module: nn.Module) -> Iterator[nn.Parameter]:
    for part in module.modules():
        names = ("weight",) if isinstance(part, nn.Embedding | nn.EmbeddingBag) else getattr(part, "row_tables", ())
        own = dict(part.named_parameters(recurse=False))
        yield from (own[name] for name in names if name in own)
