"""Published folders from their own results: checked, and written again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.results.contents import contents_of, table_files
from fedgen_bench.results.files import drawn_names, left_out
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.manifest import differences
from fedgen_bench.results.published import open_folder
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.contract.specs import SuiteSource
    from fedgen_bench.registry.registry import Registry


def check_folder(folder: Path, registry: Registry) -> list[str]:
    """Files of a published folder that differ from what its results give, or from its manifest.

    Drawn ones are only asked to be what the manifest says.

    Raises:
        UsageError, StoreError: as `open_folder`, or the suite's text is none.
    """
    published = open_folder(folder)
    suite = load_suite(published.source, registry)
    table = build_table(suite, published.records, registry)
    expected = contents_of(
        table,
        published.records,
        suite=suite,
        suite_text=published.source.text,
        registry=registry,
        but=drawn_names(registry) | left_out(registry, folder),
    )
    wrong = {name for name, content in expected.items() if not _is_published(folder / name, content)}
    return sorted(wrong | set(differences(folder)))


def _is_published(path: Path, content: bytes | None) -> bool:
    if content is None:
        return not path.exists()
    return path.is_file() and path.read_bytes() == content


def redraw(folder: Path, registry: Registry) -> list[str]:
    """Draw a published folder's drawn files again from its own results; the names of those that it has now.

    Raises:
        UsageError, StoreError: as `open_folder`; nothing can be written.
    """
    published = open_folder(folder)
    table = build_table(load_suite(published.source, registry), published.records, registry)
    drawn = table_files(table, registry, drawn_names(registry) - left_out(registry, folder))
    write_together(folder, drawn)
    return sorted(name for name, content in drawn.items() if content is not None)


def remake(folder: Path, ours: SuiteSource, registry: Registry) -> None:
    """Write a published folder again from its own results; drawn files stay as they are.

    Numbers do not change. The suite's text becomes `ours`, that of the suite here, when this has the same version.

    Raises:
        UsageError, StoreError: as `open_folder`; nothing can be written.
    """
    published = open_folder(folder)
    source, suite = published.source, load_suite(published.source, registry)
    here = load_suite(ours, registry)
    if (here.suite.name, here.suite.version) == (suite.suite.name, suite.suite.version):
        source, suite = ours, here
    table, but = build_table(suite, published.records, registry), drawn_names(registry) | left_out(registry, folder)
    write_together(
        folder,
        contents_of(table, published.records, suite=suite, suite_text=source.text, registry=registry, but=but),
    )
