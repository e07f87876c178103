"""Whether a model came whole from its file: no tensor that the file lacks, none left over, none of another shape."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fedgen_bench import DataError

if TYPE_CHECKING:
    from torch import nn

_MOST_NAMED = 5


def without_tied(names: Iterable[str], module: nn.Module) -> set[str]:
    """`names` less those whose tensor stands in `module` under another name that is not among `names`."""
    wanted = set(names)
    tensors = module.state_dict(keep_vars=True)
    there = {id(tensor) for name, tensor in tensors.items() if name not in wanted}
    return {name for name in wanted if name not in tensors or id(tensors[name]) not in there}


def check_complete(what: str, module: nn.Module, info: Mapping[str, Collection[Any]]) -> None:
    """Refuse a module whose tensors and whose file's tensors are not the same ones; tied ones may be missing.

    Args:
        what: the model for messages, such as "Backbone `x`".
        module: the model, loaded.
        info: what `from_pretrained(..., output_loading_info=True, ignore_mismatched_sizes=True)` of transformers and
            diffusers gives beside the model: `missing_keys`, `unexpected_keys`, and `mismatched_keys`, which are names
            or tuples that begin with one.

    Raises:
        DataError: naming the tensors and their number.
    """
    mismatched = {one if isinstance(one, str) else one[0] for one in info.get("mismatched_keys", ())}
    lists = {
        "the file lacks": without_tied(info["missing_keys"], module) - mismatched,
        "the model does not know": set(info["unexpected_keys"]),
        "have another shape in the file": mismatched,
    }
    problems = [f"{len(names)} tensor(s) {how} ({_named(names)})" for how, names in lists.items() if names]
    if problems:
        raise DataError(
            f"{what} is not what its config says: {'; '.join(problems)}. What a file lacks would be random: save the "
            "whole model that the config describes, with its head, and nothing else."
        )


def _named(names: Collection[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in sorted(names)[:_MOST_NAMED])
    return listed if len(names) <= _MOST_NAMED else f"{listed} and {len(names) - _MOST_NAMED} more"
