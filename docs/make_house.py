"""Draw the house in `docs/architecture.md` from the code: `python docs/make_house.py`. With `--check`, only compare.

Rooms are the subpackages of `fedgen_bench`; an arrow is a direct import. Nothing is imported: the files are read.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TARGET = Path(__file__).with_name("architecture.md")
CORE = "fedgen_bench"
GROUND = ("registry", "contract", "base")  # nearly every room stands on them
GUESTS = {
    "plugins": ROOT / "plugins" / "fedgen_bench_plugins",
    "baselines": ROOT / "baselines" / "fedgen_bench_baselines",
}


class Module(NamedTuple):
    """A file of the core.

    Args:
        name: below its room, as a path: `claims/page`.
        room: a subpackage, or the module itself where it stands beside them.
    """

    name: str
    room: str
    file: Path

    @property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.file.read_text(encoding="utf-8"))


def modules() -> list[Module]:
    """Every module of the core but the package itself, by path."""
    found = []
    for file in sorted((ROOT / CORE).rglob("*.py")):
        parts = file.relative_to(ROOT / CORE).with_suffix("").parts
        inner = parts[1:-1] if parts[-1] == "__init__" else parts[1:]
        if parts != ("__init__",):
            found.append(Module("/".join(inner), parts[0], file))
    return found


def summary(file: Path) -> str:
    """The first line of a module's docstring, without its full stop."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0].removesuffix(".")


def imported(tree: ast.Module) -> Iterator[str]:
    """Rooms of the core that a module imports, at its top or inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, below = name.partition(".")
            room = below.partition(".")[0]
            if package == CORE and (ROOT / CORE / room).is_dir() and room:
                yield room


def arrows() -> dict[str, set[str]]:
    """By room, and by guest: the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for module in modules():
        found.setdefault(module.room, set()).update(set(imported(module.tree)) - {module.room})
    for guest, folder in GUESTS.items():
        trees = (ast.parse(file.read_text(encoding="utf-8")) for file in folder.rglob("*.py"))
        found[guest] = {room for tree in trees for room in imported(tree)}
    return found


def floors() -> list[list[str]]:
    """The layers of the import contract, from top to bottom."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (contract,) = [contract for contract in contracts if contract.get("containers") == [CORE]]
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def rooms() -> Iterator[list[str]]:
    """The same without the modules that stand beside the rooms."""
    for layer in floors():
        if inside := [room for room in layer if (ROOT / CORE / room).is_dir()]:
            yield inside


def job(room: str) -> str:
    """What a room says of itself."""
    return summary(ROOT / CORE / room / "__init__.py")


def diagram() -> str:
    """Rooms by floor and their arrows, as Mermaid; none lead to the ground."""
    found, house = arrows(), list(rooms())
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in enumerate(house):
        lines.append(f"  subgraph floor{len(house) - number} [ ]")
        lines += [f'    {room}["<b>{room}</b><br/>{job(room).replace("`", "")}"]' for room in layer]
        lines.append("  end")
    for room in [*(room for layer in house for room in layer), *GUESTS]:
        lines += [f"  {room} --> {other}" for other in sorted(found[room]) if other not in GROUND]
    return "\n".join([*lines, "```"])


def tables() -> Iterator[str]:
    """A heading and a table for every room, from top to bottom."""
    every, found = modules(), arrows()
    for room in (room for layer in rooms() for room in layer):
        below = ", ".join(f"`{other}`" for layer in floors() for other in layer if other in found[room])
        yield f"### `{room}`\n\n{job(room)}. Imports {below or 'no other room'}.\n\n| module | job |\n|---|---|"
        yield from (
            f"| `{module.name}` | {summary(module.file).replace('|', chr(92) + '|')} |"
            for module in every
            if module.room == room and module.name
        )
        yield ""
    yield "### Beside the rooms\n\n| module | job |\n|---|---|"
    yield from (
        f"| `{module.room}` | {summary(module.file)} |" for module in every if module.file.parent == ROOT / CORE
    )
    yield ""


def house() -> str:
    """The rooms, drawn, and their order in words."""
    order = " > ".join(", ".join(f"`{room}`" for room in layer) for layer in floors())
    ground = ", ".join(f"`{room}`" for room in GROUND)
    return "\n".join(
        [
            diagram(),
            "",
            f"Not drawn: arrows to {ground}, on which nearly every room stands, and to the names of `{CORE}` itself,",
            "which plugins import.",
            "",
            f"From top to bottom, each room may import only what is below:\n{order}.",
            "",
        ]
    )


def between(page: str, mark: str, content: str) -> str:
    """The page with other content between `<!-- mark: ... -->` and `<!-- /mark -->`."""
    pattern = rf"(<!-- {mark}: [^\n]*-->\n).*?(<!-- /{mark} -->\n)"
    return re.sub(pattern, lambda marks: f"{marks[1]}\n{content}\n{marks[2]}", page, flags=re.DOTALL)


def text() -> str:
    """The whole page."""
    page = between(TARGET.read_text(encoding="utf-8"), "house", house().rstrip() + "\n")
    return between(page, "modules", "\n".join(tables()).rstrip() + "\n")


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text() else f"{TARGET} is not what the code says.")
    TARGET.write_text(text(), encoding="utf-8")
