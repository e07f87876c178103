"""What does not travel: everything in an adapted module but the adapter's own tensors is as it was when it began.

Buffers (running statistics of a normalisation, caches) are put back after every fit and evaluation; a frozen parameter
that one changed is an error. Otherwise a client's model would depend on who trained in the same process before it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import PluginError

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class _Buffer:
    """One buffer, and a copy of its values."""

    owner: nn.Module
    name: str
    tensor: torch.Tensor | None
    values: torch.Tensor | None

    @property
    def version(self) -> int | None:
        """Its version counter; None where that says nothing: batch norm moves its statistics past it."""
        return None if self.tensor is None or self.tensor.is_floating_point() else self.tensor._version  # noqa: SLF001

    def put_back(self, version: int | None) -> None:
        """Make it what it was at `version`."""
        self.owner._buffers[self.name] = self.tensor  # noqa: SLF001 - assigning would register it anew
        if self.tensor is not None and self.values is not None and (version is None or self.version != version):
            self.tensor.copy_(self.values)


class Untrained:
    """Buffers and frozen parameters of a module as they are now.

    Args:
        module: where it is trained, on its device.
        trainable: the parameters that may change.
    """

    def __init__(self, module: nn.Module, trainable: Iterable[torch.Tensor]) -> None:
        self._trainable = {id(parameter) for parameter in trainable}
        self._modules = dict(module.named_modules())
        self._names = {path: tuple(owner._buffers) for path, owner in self._modules.items()}  # noqa: SLF001
        self._buffers = [
            _Buffer(owner, name, tensor, None if tensor is None else tensor.detach().clone())
            for owner in self._modules.values()
            for name, tensor in owner._buffers.items()  # noqa: SLF001
        ]

    @contextlib.contextmanager
    def kept(self, what: str) -> Iterator[None]:
        """Around a fit or an evaluation, `what`.

        Raises:
            PluginError: it changed a frozen parameter (through its version counter: a write through `.data` is seen by
                the contract tests alone).
        """
        before = [(path, parameter, parameter._version) for path, parameter in self._frozen()]  # noqa: SLF001
        versions = [buffer.version for buffer in self._buffers]
        try:
            yield
        finally:
            self._put_back(versions)
        now = dict(self._frozen())
        for path, parameter, version in before:
            if now.get(path) is not parameter or parameter._version != version:  # noqa: SLF001
                raise PluginError(
                    f"{what} changed `{path}`, which is no tensor of the adapter: it neither travels nor is reset. "
                    "Leave frozen parameters as they are, or have an adapter list them in `Adapted.trainable`."
                )

    def _frozen(self) -> Iterator[tuple[str, torch.Tensor]]:
        for path, owner in self._modules.items():
            for name, parameter in owner._parameters.items():  # noqa: SLF001 - folding exchanges layers
                if parameter is not None and id(parameter) not in self._trainable:
                    yield f"{path}.{name}".lstrip("."), parameter

    def _put_back(self, versions: list[int | None]) -> None:
        import torch

        with torch.no_grad():
            for buffer, version in zip(self._buffers, versions, strict=True):
                buffer.put_back(version)
        for path, owner in self._modules.items():
            for added in owner._buffers.keys() - set(self._names[path]):  # noqa: SLF001
                del owner._buffers[added]  # noqa: SLF001
