"""A pretended device: tensors that say they are elsewhere, and refuse what those of a GPU refuse.

Every operation is done by the processor on tensors within, so results are the processor's to the bit. What passes
between program and device is written down: copies either way, and where the program has to wait.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from fedgen_bench.testing.device_rules import COPYING, copied, refusal, tensors_and_generators, waits

NAME = "pretended"
_NOT_ASKING = (str(Path(torch.__file__).parent), __file__)
_LIBRARY = torch.library.Library("aten", "IMPL")
# Processor and GPU have kernels of these, where torch has other devices compose them from other operators.
_COMPOSED_ELSEWHERE = ("silu_backward", "mish_backward")
_MATH = 0  # of attention's implementations, the one of plain operators


@dataclass(frozen=True)
class Event:
    """Something that passes between program and device.

    Args:
        kind: a copy to the device or from it, or a value of it that the program needs.
        operator: torch's name.
        where: the line that asked for it, outside of torch.
        n_bytes: that are copied.
        waits: whether the program goes on only when the device has done all that it was asked for.
    """

    kind: Literal["to", "from", "value"]
    operator: str
    where: str
    n_bytes: int
    waits: bool


@dataclass
class Pretended:
    """The device, while it is pretended.

    Args:
        double: whether it computes in float64; some do not.
        events: what has passed, in order.
    """

    double: bool = True
    events: list[Event] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Its name for torch."""
        return torch.device(NAME, 0)

    def note(self, kind: Literal["to", "from", "value"], func: Any, n_bytes: int = 0, *, waits: bool = True) -> None:
        """Write an event down."""
        self.events.append(Event(kind, str(func), _asking(), n_bytes, waits))


@contextlib.contextmanager
def pretended(*, double: bool = True) -> Iterator[Pretended]:
    """While inside, torch has a device that tensors and modules can be sent to."""
    _register()
    there = Pretended(double)
    with torch.autograd.set_multithreading_enabled(False), _Conversions(), _Operations(there):  # backward here, too
        yield there


def plain_attention() -> AbstractContextManager[None]:
    """While inside, attention is made of the operators that the pretended device has: results are equal to the bit."""
    chosen: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
    return chosen


@cache
def _register() -> None:
    """Make the name known to torch, once a process; nothing can make it unknown again."""
    torch.ones((), requires_grad=True).backward()  # before there is a device that autograd would start threads for
    _setup_privateuseone_for_python_backend(NAME, _Module())
    for name in _COMPOSED_ELSEWHERE:
        _LIBRARY.impl(name, _unreached, "PrivateUse1")


def _unreached(*_: object) -> None:
    """That there is one suffices: `_There` and the modes come first."""


class _Module:
    """`torch.pretended`, what torch asks of any device."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return False  # to be chosen on nobody's behalf

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        """Its random numbers are the processor's."""

    def get_rng_state(self, device: object = None) -> torch.Tensor:
        return torch.random.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: object = None) -> None:
        torch.random.set_rng_state(state)

    def _is_in_bad_fork(self) -> bool:
        return False

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _There(torch.Tensor):
    """A tensor that says it is on the device; `held` has its values."""

    held: torch.Tensor
    __torch_function__: Any = torch._C._disabled_torch_function_impl  # noqa: SLF001 - torch's own way to have none

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{self.held!r} on the device {NAME}"

    # With these, `Module.to` gives a parameter new values as it does for a GPU: the object stays who it is.
    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], *_: object) -> _There:
        return _there(inner["held"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _done(func, args, kwargs or {}, Pretended())


def _there(held: torch.Tensor) -> _There:
    """On the device, with these values."""
    with torch.inference_mode(held.is_inference()):  # a view of a tensor from outside of it is none of its own
        made: Any = torch.Tensor._make_wrapper_subclass(  # noqa: SLF001 - it has no public name
            _There,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
    made.held = held
    return made  # type: ignore[no-any-return]


class _Operations(TorchDispatchMode):
    """All operations while the device is pretended."""

    def __init__(self, there: Pretended) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._there = there

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _done(func, args, kwargs or {}, self._there)


class _Conversions(TorchFunctionMode):
    """Between tensors and Python's or numpy's values, which torch does past every mode of operations."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.tolist and isinstance(args[0], _There):
            args = (args[0].cpu(),)
        if func in (torch.Tensor.numpy, torch.Tensor.__array__) and isinstance(args[0], _There):
            raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() first.")
        if func is torch.Tensor.new_tensor and isinstance(args[0], _There):
            like, args = args[0], args[1:]
            func, kwargs = torch.tensor, {"dtype": like.dtype, "device": like.device, **kwargs}
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and _is_there(kwargs.get("device")):
            device, wanted = kwargs.pop("device"), kwargs.pop("requires_grad", False)
            return func(*args, **kwargs).to(device).requires_grad_(wanted)
        return func(*args, **kwargs)


def _is_there(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _names_device(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == NAME


def _has_kernel(func: Any) -> bool:
    """Whether a processor does this itself."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key  # noqa: SLF001 - as torch's own modes do
    return has(func.name(), "CPU") or not has(func.name(), "CompositeImplicitAutograd")


def _done(func: Any, args: Any, kwargs: dict[str, Any], there: Pretended) -> Any:
    """What an operation gives, on the device where that is asked to do it.

    Raises:
        RuntimeError: a device refuses it.
        TypeError: it gives float64 where there is none.
    """
    operator = func.overloadpacket
    flat, spec = tree_flatten((args, kwargs))
    own = [one for one in flat if isinstance(one, _There)]
    asked = kwargs.get("device")
    on_device = bool(own) if asked is None else _is_there(asked)
    if (own or any(map(_names_device, flat))) and not _has_kernel(func):
        with _Operations(there):  # the operators that it is made of, which autograd would have shown
            return func.decompose(*args, **kwargs)
    if operator in COPYING:
        source, blocking = copied(operator, args, kwargs)
        on_device = on_device if asked is not None else isinstance(args[0], _There)
        if source.numel() and isinstance(source, _There) != on_device:
            there.note("to" if on_device else "from", func, source.nbytes, waits=blocking)
    elif on_device:
        others = [one for one in tensors_and_generators(flat) if not isinstance(one, _There)]
        if problem := refusal(operator, args, own, others, NAME):
            raise RuntimeError(problem)
        if waits(operator, args, kwargs):
            there.note("value", func)
        if operator is torch.ops.aten._fused_sdp_choice:  # noqa: SLF001
            return _MATH
    args, kwargs = tree_unflatten(list(map(_within, flat)), spec)
    found = func(*args, **kwargs)
    given = {id(one.held): one for one in own}
    if on_device and not there.double and any(_is_double(one) for one in tree_flatten(found)[0]):
        raise TypeError(f"Cannot convert a tensor of the device {NAME} to float64, which it does not have.")
    return tree_map(lambda one: _outside(one, given, on_device=on_device), found)


def _within(value: Any) -> Any:
    if isinstance(value, _There):
        return value.held
    return torch.device("cpu") if _names_device(value) else value


def _outside(value: Any, given: dict[int, _There], *, on_device: bool) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    known = given.get(id(value))
    if known is not None:
        return known
    return _there(value) if on_device else value


def _is_double(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.float64


def _asking() -> str:
    """The line outside of torch, and of this module, that is being executed."""
    frame: Any = sys._getframe()  # noqa: SLF001 - `traceback` reads the source of every line
    while frame.f_code.co_filename.startswith(_NOT_ASKING) and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
