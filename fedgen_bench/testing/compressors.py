"""What every compressor must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import Tensors
from fedgen_bench.contract.specs import CompressorSpec
from fedgen_bench.testing.bits import fingerprint, same_bits
from fedgen_bench.testing.locations import at, return_of
from fedgen_bench.testing.structure import assert_tensors, built

if TYPE_CHECKING:
    import torch

    from fedgen_bench.contract.protocols import Compressor

Check = Callable[[CompressorSpec], None]
_ROUNDING = 1e-6


def change(seed: int = 1) -> dict[str, torch.Tensor]:
    """A change of a model: fp32 and fp16, a matrix, a vector, one number, no dimension, zeros, and integers."""
    import torch

    random = torch.Generator().manual_seed(seed)
    return {
        "layer.matrix": torch.randn(6, 9, generator=random),
        "layer.vector": torch.randn(31, generator=random) * 1e-3,
        "layer.half": torch.randn(4, 5, generator=random).half(),
        "one": torch.randn(1, 1, generator=random),
        "scalar": torch.randn((), generator=random),
        "zeros": torch.zeros(7),
        "count": torch.randint(-100, 100, (5,), generator=random),
    }


def _built(spec: CompressorSpec) -> Compressor:
    compressor: Compressor = spec.build(spec.params())
    return compressor


def _layout(tensors: Tensors) -> dict[str, tuple[Any, ...]]:
    return {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}


def check_rehearsal(spec: CompressorSpec) -> None:
    """It has its methods, and both halves give tensors by name."""
    compressor: Compressor = built("compressor", spec)
    with at(compressor.compress), guarded(f"{type(compressor).__name__}.compress"):
        packed = compressor.compress(change())
        assert_tensors(packed, "compress", partial(return_of, compressor.compress))
    with at(compressor.decompress), guarded(f"{type(compressor).__name__}.decompress"):
        assert_tensors(compressor.decompress(packed, change()), "decompress", partial(return_of, compressor.decompress))


def check_deterministic(spec: CompressorSpec) -> None:
    """The same tensors give the same bits, from one instance twice and from a fresh one; no global generator moves."""
    with guarded(f"compressor {spec.name}"):
        compressor = _built(spec)
        packed = compressor.compress(change())
        restored = compressor.decompress(packed, change())
    for again in (compressor, _built(spec)):
        assert same_bits(packed, again.compress(change())), "two equal compressions differ"
        assert same_bits(restored, again.decompress(packed, change())), "two equal decompressions differ"


def check_arguments_unchanged(spec: CompressorSpec) -> None:
    """Neither half changes what it is given."""
    tensors, like = change(), change(2)
    before = fingerprint([tensors, like])
    packed = _built(spec).compress(tensors)
    packed_before = fingerprint(packed)
    _built(spec).decompress(packed, like)
    assert fingerprint([tensors, like]) == before, "the tensors were changed"
    assert fingerprint(packed) == packed_before, "decompress changed what travelled"


def check_layout_restored(spec: CompressorSpec) -> None:
    """Names, shapes and dtypes come back, whatever values `like` holds, and so for each tensor alone and for none."""
    from fedgen_bench.federation.compression import layout_like

    whole = change()
    for tensors in (whole, *({name: tensor} for name, tensor in whole.items()), {}):
        restored = _built(spec).decompress(_built(spec).compress(tensors), layout_like(tensors))
        assert _layout(restored) == _layout(tensors), f"{list(tensors)} came back as {_layout(restored)}"


def check_layout_depends_on_layout_only(spec: CompressorSpec) -> None:
    """Other values of the same layout give the same names, shapes and dtypes: the server foretells what may arrive."""
    from fedgen_bench.federation.compression import layout_like

    expected = _layout(_built(spec).compress(change()))
    for other in (change(2), layout_like(change())):
        assert _layout(_built(spec).compress(other)) == expected, "the layout of what travels depends on values"


def check_travels(spec: CompressorSpec) -> None:
    """What travels can be encoded and passes the gate, and decompresses alike after that."""
    from fedgen_bench.contract.messages import Header
    from fedgen_bench.federation import wire
    from fedgen_bench.federation.gate import admit

    packed, header = _built(spec).compress(change()), Header(0, 0, 1)
    arrived = admit(wire.encode(packed, header), expected=packed, header=header).tensors
    assert same_bits(packed, arrived), "the encoding changes it"
    ours, theirs = (_built(spec).decompress(one, change()) for one in (packed, arrived))
    assert same_bits(ours, theirs), "it decompresses otherwise after its travel"


def check_integers_unchanged(spec: CompressorSpec) -> None:
    """Integer tensors (counts, indices) come back to the bit."""
    tensors = change()
    restored = _built(spec).decompress(_built(spec).compress(tensors), tensors)
    assert same_bits({"count": restored["count"]}, {"count": tensors["count"]}), "integers came back changed"


def check_error_bounded(spec: CompressorSpec) -> None:
    """||D(C(x)) - x|| <= ||x|| for every tensor: sending it is no worse than sending nothing, and zeros stay zeros."""
    for seed in (1, 2, 3):
        tensors = change(seed)
        restored = _built(spec).decompress(_built(spec).compress(tensors), tensors)
        for name, x in tensors.items():
            if x.is_floating_point():
                lost, size = (float(one.double().norm()) for one in (restored[name].double() - x.double(), x))
                assert lost <= size * (1 + _ROUNDING), f"`{name}` of norm {size:.4g} comes back off by {lost:.4g}"


def check_refuses_nothing(spec: CompressorSpec) -> None:
    """Decompressing an empty message for tensors that are wanted raises instead of making them up."""
    try:
        _built(spec).decompress({}, change())
    except (ValueError, KeyError, IndexError, RuntimeError):
        return
    raise AssertionError("tensors that were never sent were made up")


def check_error_feedback_declared(spec: CompressorSpec) -> None:
    """`error_feedback` is a bool."""
    assert isinstance(_built(spec).error_feedback, bool), "error_feedback is no bool"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_deterministic,
    check_arguments_unchanged,
    check_layout_restored,
    check_layout_depends_on_layout_only,
    check_travels,
    check_integers_unchanged,
    check_error_bounded,
    check_refuses_nothing,
    check_error_feedback_declared,
)


def compressor_checks() -> Iterator[Check]:
    """All of them apply to every compressor."""
    yield from _CHECKS
