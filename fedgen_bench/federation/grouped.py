"""One module that computes with several clients' adapters at once: rows of a batch are grouped by client.

The modules that hold an adapter's parameters apply each client's own values to that client's rows; all others see one
large batch. Where that is not the same as client by client (a layer that mixes examples), `fused_check` finds out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from fedgen_bench.contract.sending import to_device

_Forward = Callable[..., Any]


class Grouped:
    """An adapted module whose trained parameters are there once for every client.

    Args:
        module: the adapted module.
        values: by parameter of it, the clients' values of shape (clients, *shape of the parameter).

    Raises:
        ValueError: the parameters are the module's own, so that nothing of it is shared.
    """

    def __init__(self, module: nn.Module, values: Mapping[nn.Parameter, torch.Tensor]) -> None:
        self.sizes: Sequence[int] = ()
        self._module: Any = module
        self._holders = _holders(module, values)
        if module in self._holders:
            raise ValueError("The adapter's parameters belong to the whole module.")

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While inside, the module takes batches of `sizes` rows, client after client, of the first of the clients."""
        before = {holder: vars(holder).get("forward") for holder in self._holders}
        try:
            for holder, held in self._holders.items():
                holder.forward = self._forward_of(holder, held)
                if self._is_soft_prompt(holder):
                    self._module.get_prompt = partial(self._prompts, held["weight"])
            yield
        finally:
            for holder, forward in before.items():
                vars(holder).pop("forward", None)
                if forward is not None:
                    holder.forward = forward
            vars(self._module).pop("get_prompt", None)

    def _is_soft_prompt(self, holder: nn.Module) -> bool:
        """Whether it is peft's table of virtual tokens, looked up for one example and repeated for the others."""
        config = getattr(self._module, "active_peft_config", None)
        return isinstance(holder, nn.Embedding) and getattr(config, "peft_type", "") == "PROMPT_TUNING"

    def _prompts(self, tokens: torch.Tensor, batch_size: int, *_: Any, **__: Any) -> torch.Tensor:
        counts = to_device(torch.tensor(self._groups(batch_size)), tokens.device)
        return tokens[: len(counts)].repeat_interleave(counts, dim=0, output_size=batch_size)

    def _forward_of(self, holder: nn.Module, held: Mapping[str, torch.Tensor]) -> _Forward:
        for able, make in _FORWARDS:
            if able(holder):
                return make(holder, held, self._groups)
        return _one_by_one(holder, held, self._groups)

    def _groups(self, n_rows: int) -> list[int]:
        """Rows of each client among `n_rows`, which may be several for every example.

        Raises:
            ValueError: they are none of these.
        """
        times, rest = divmod(n_rows, sum(self.sizes))
        if rest or not times:
            raise ValueError(f"A layer of the adapter got {n_rows} rows where the batch has {sum(self.sizes)}.")
        return [size * times for size in self.sizes]


_Groups = Callable[[int], list[int]]


def _holders(
    module: nn.Module, values: Mapping[nn.Parameter, torch.Tensor]
) -> dict[nn.Module, dict[str, torch.Tensor]]:
    """The modules that compute with these parameters, and each one's values by name within it."""
    by_id = {id(parameter): stacked for parameter, stacked in values.items()}
    found: dict[nn.Module, dict[str, torch.Tensor]] = {}
    modules = dict(module.named_modules())
    for path, part in modules.items():
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            if id(parameter) in by_id:
                holder = path
                while type(modules[holder]).forward is nn.Module.forward:  # containers, for instance
                    holder = holder.rpartition(".")[0]
                inner = f"{path}.{name}".removeprefix(holder).lstrip(".")
                found.setdefault(modules[holder], {})[inner] = by_id[id(parameter)]
    return found


def _linear(layer: Any, held: Mapping[str, torch.Tensor], groups: _Groups) -> _Forward:
    """W x + b of `nn.Linear`, and of GPT-2's `Conv1D` with its transposed weight."""
    stored_transposed = not isinstance(layer, nn.Linear)
    weight, bias = held.get("weight"), held.get("bias")

    def shared(x: torch.Tensor) -> torch.Tensor:
        own = None if bias is not None else layer.bias
        return functional.linear(x, layer.weight.T if stored_transposed else layer.weight, own)

    def own(x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        assert weight is not None
        some = weight[: len(sizes)]
        products = some if stored_transposed else some.transpose(1, 2)
        if len(set(sizes)) == 1:
            product = torch.bmm(x.reshape(len(sizes), -1, x.shape[-1]), products).reshape(*x.shape[:-1], -1)
        else:
            product = torch.cat([part @ one for part, one in zip(x.split(sizes), products, strict=True)])
        return product if bias is not None or layer.bias is None else product + layer.bias

    def forward(x: torch.Tensor) -> torch.Tensor:
        sizes = groups(len(x))
        result = shared(x) if weight is None else own(x, sizes)
        return result if bias is None else result + _rows(bias, sizes, result)

    return forward


def _norm(layer: Any, held: Mapping[str, torch.Tensor], groups: _Groups) -> _Forward:
    """`nn.LayerNorm`."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        sizes = groups(len(x))
        result = functional.layer_norm(x, layer.normalized_shape, None, None, layer.eps)
        for name, apply in (("weight", torch.mul), ("bias", torch.add)):
            if name in held:
                result = apply(result, _rows(held[name], sizes, result))
            elif getattr(layer, name) is not None:
                result = apply(result, getattr(layer, name))
        return result

    return forward


def _embedding(_layer: Any, held: Mapping[str, torch.Tensor], groups: _Groups) -> _Forward:
    """A table of rows, as one that has every client's."""
    table = held["weight"]

    def forward(index: torch.Tensor) -> torch.Tensor:
        sizes = groups(len(index))
        first = torch.arange(len(sizes), device=index.device) * table.shape[1]
        counts = to_device(torch.tensor(sizes), index.device)
        offsets = first.repeat_interleave(counts, output_size=len(index))
        return functional.embedding(index + offsets.view(-1, *[1] * (index.ndim - 1)), table.flatten(0, 1))

    return forward


def _rows(values: torch.Tensor, sizes: list[int], like: torch.Tensor) -> torch.Tensor:
    """Every client's values at each of its rows, to be combined with `like` (rows, ..., *values' shape)."""
    some = values[: len(sizes)].to(like.dtype)
    some = some.view(len(sizes), *[1] * (like.ndim - some.ndim), *some.shape[1:])
    counts = to_device(torch.tensor(sizes), values.device)
    return some.repeat_interleave(counts, dim=0, output_size=len(like))


def _one_by_one(holder: nn.Module, held: Mapping[str, torch.Tensor], groups: _Groups) -> _Forward:
    """Any other layer: called for one client after the other; arguments are taken apart by rows."""
    plain = holder.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        tensors = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor) and one.ndim]
        n_rows = max(map(len, tensors))
        results, begin = [], 0
        for client, size in enumerate(groups(n_rows)):
            rows = slice(begin, begin := begin + size)
            with _with(holder, {name: values[client] for name, values in held.items()}):
                results.append(
                    plain(
                        *(_part(one, n_rows, rows) for one in args),
                        **{name: _part(one, n_rows, rows) for name, one in kwargs.items()},
                    )
                )
        return torch.cat(results)

    return forward


def _part(value: Any, n_rows: int, rows: slice) -> Any:
    return value[rows] if isinstance(value, torch.Tensor) and value.ndim and len(value) == n_rows else value


@contextlib.contextmanager
def _with(holder: nn.Module, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """The holder with other parameters."""
    owners: list[tuple[dict[str, Any], str, torch.Tensor]] = []
    for path, value in values.items():
        inner, _, name = path.rpartition(".")
        owners.append((holder.get_submodule(inner)._parameters, name, value))  # noqa: SLF001 - as functional_call does
    before = [parameters[name] for parameters, name, _ in owners]
    try:
        for parameters, name, value in owners:
            parameters[name] = value
        yield
    finally:
        for (parameters, name, _), parameter in zip(owners, before, strict=True):
            parameters[name] = parameter


def _is_plain_linear(layer: nn.Module) -> bool:
    return (type(layer) is nn.Linear or type(layer).__name__ == "Conv1D") and _computes_as_its_kind(layer)


def _is_plain_embedding(layer: nn.Module) -> bool:
    if type(layer) is not nn.Embedding:
        return False
    usual = layer.max_norm is None and layer.padding_idx is None and not layer.sparse
    return usual and _computes_as_its_kind(layer)


def _computes_as_its_kind(layer: nn.Module) -> bool:
    """Whether nobody gave this very layer a forward pass of its own."""
    return "forward" not in vars(layer)


_FORWARDS: tuple[tuple[Callable[[nn.Module], bool], Callable[..., _Forward]], ...] = (
    (_is_plain_linear, _linear),
    (lambda layer: type(layer) is nn.LayerNorm, _norm),
    (_is_plain_embedding, _embedding),
)
