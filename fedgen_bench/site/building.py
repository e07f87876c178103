"""The site: every published folder read, its pages made, its files beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError
from fedgen_bench.registry.kinds import NAME
from fedgen_bench.results.files import CLAIMS, MANIFEST, is_known
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.manifest import read_manifest
from fedgen_bench.results.pairing import comparable
from fedgen_bench.results.published import PublishedFolder, has_results, open_folder
from fedgen_bench.review.claims.clock import EdgeDevice
from fedgen_bench.review.claims.gathering import gather
from fedgen_bench.review.claims.judging import judged, viewed
from fedgen_bench.site.claims_page import claims_page
from fedgen_bench.site.overview import overview
from fedgen_bench.site.pages import claims_text, overview_text, suite_text
from fedgen_bench.site.suite_page import SuitePage, suite_page
from fedgen_bench.suite.load import load_suite

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.review.claims.findings import Finding

FIRST = "index.html"
CLAIMS_PAGE = "claims.html"
_HOME = "../index.html"


def site_files(leaderboards: Path, registry: Registry) -> dict[str, bytes]:
    """Every file of the site by its name below it; the same folders give the same bytes.

    Raises:
        UsageError: there is no published folder, or one needs a plugin that is not there.
        StoreError: one cannot be read.
        PairingError: one holds runs that must not stand side by side.
    """
    pages: dict[str, SuitePage] = {}
    made: dict[str, bytes] = {}
    for folder in _folders(leaderboards):
        published = open_folder(folder)
        files = {path.relative_to(folder).as_posix(): path for path in _known(folder, registry)}
        made |= {f"{folder.name}/{name}": path.read_bytes() for name, path in files.items()}
        page, claims = _pages(published, registry, {name: path.stat().st_size for name, path in files.items()})
        made[f"{folder.name}/{FIRST}"] = suite_text(page).encode()
        if claims:
            made[f"{folder.name}/{CLAIMS_PAGE}"] = claims.encode()
        pages[f"{folder.name}/{FIRST}"] = page
    if not pages:
        raise UsageError(f"{leaderboards} holds no published folder. Name another one with `--leaderboards`.")
    made[FIRST] = overview_text(overview(pages)).encode()
    return made


def _folders(leaderboards: Path) -> Iterator[Path]:
    """Published folders by name, those that nothing is an ablation of among the others."""
    for folder in sorted(leaderboards.iterdir()) if leaderboards.is_dir() else ():
        if NAME.fullmatch(folder.name) and folder.is_dir() and has_results(folder):
            yield folder


def _known(folder: Path, registry: Registry) -> Iterator[Path]:
    """The plain files of a published folder that have a name which such a folder may hold; pages are made anew."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.is_symlink() and is_known(name, registry) and path.suffix != ".html":
            yield path


def _pages(published: PublishedFolder, registry: Registry, sizes: Mapping[str, int]) -> tuple[SuitePage, str]:
    """The suite's page, and the text of that of its claims: empty where none are published."""
    suite = load_suite(published.source, registry)
    table = build_table(suite, published.records, registry)
    findings: Mapping[str, Finding] = {}
    claims = ""
    if CLAIMS in sizes:
        evidence = gather(published.path.parent, published.path.name, registry)
        findings = judged(evidence, registry)
        claims = claims_text(claims_page(table, findings, tuple(viewed(evidence)), _HOME))
    page = suite_page(
        table,
        published.records,
        home=_HOME,
        findings=findings,
        files=sizes,
        elapsed=_elapsed(published),
    )
    return page, claims


def _elapsed(published: PublishedFolder) -> dict[str, dict[int, float]]:
    """By contender and number of rounds, simulated seconds, mean over its runs; of those that send something."""
    device = EdgeDevice()
    found: dict[str, dict[int, list[float]]] = {}
    for record in comparable(published.records):
        if record.client_rounds and record.bytes.up.encoded:
            for point in record.curve:
                of_rounds = found.setdefault(record.contender, {}).setdefault(point.n_rounds, [])
                of_rounds.append(device.seconds_at(record, point.n_rounds))
    return {name: {n: sum(some) / len(some) for n, some in of.items()} for name, of in found.items()}


def write_site(out: Path, made: Mapping[str, bytes]) -> None:
    """Write the site; what an earlier one wrote there and this one does not is removed.

    Raises:
        UsageError: the folder holds something else.
        StoreError: it cannot be written; it is as it was.
    """
    there = _there(out)
    if there and not (out / MANIFEST).is_file():
        raise UsageError(f"{out} holds something else than a site. Name an empty folder with `--out`.")
    listed = read_manifest(out)
    if others := sorted(there - listed.keys() - _manifests(there)):
        raise UsageError(f"{out} holds {others[0]}, which no site wrote. Name an empty folder with `--out`.")
    gone = (there - made.keys()) - {MANIFEST}
    write_together(out, {**made, **dict.fromkeys(gone)})


def outdated(out: Path, made: Mapping[str, bytes]) -> list[str]:
    """Files of a written site that are not what is published, that are missing, or that nobody published."""
    there = _there(out) - {MANIFEST}
    changed = {name for name in there & made.keys() if (out / name).read_bytes() != made[name]}
    return sorted(changed | (there ^ made.keys()))


def _there(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} if out.is_dir() else set()


def _manifests(names: set[str]) -> set[str]:
    """Manifests, which no manifest lists."""
    return {name for name in names if name.rpartition("/")[2] == MANIFEST}
