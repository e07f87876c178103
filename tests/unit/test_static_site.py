"""`fedgen-bench site`: pages of published folders, whole without a script and without another host."""

import csv
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedgen_bench.authors.tables import page_of as rendered
from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.checking import check_folder, remake
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.published import open_folder
from fedgen_bench.site.building import outdated, site_files, write_site
from fedgen_bench.site.suite_page import facts_of
from fedgen_bench.suite.load import load_suite

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
REGISTRY = load_registry(environ={})
VOID = {"wbr", "meta", "link", "input", "img", "br", "hr"}


class Page(HTMLParser):
    """Tags in order, and whether each is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.texts, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    for name in ("ptb-compression", "ptb-epochs"):
        shutil.copytree(LEADERBOARDS / name, root / name)
    return root


@pytest.fixture(scope="module")
def made(folders):
    return site_files(folders, REGISTRY)


@pytest.fixture(scope="module")
def pages(made):
    return {name: Page(content.decode()) for name, content in made.items() if name.endswith(".html")}


def test_site_has_a_first_page_a_page_a_suite_and_every_published_file(folders, made):
    assert {"index.html", "ptb-compression/index.html", "ptb-epochs/index.html"} < made.keys()
    for path in folders.rglob("*.*"):
        assert made[path.relative_to(folders).as_posix()] == path.read_bytes()


def test_pages_are_well_formed_and_have_each_id_once(pages):
    for name, page in pages.items():
        assert (page.open, page.wrong) == ([], []), name
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids)), name


def test_pages_ask_no_other_host(made):
    for name, content in made.items():
        if name.endswith(".html"):
            text = content.decode()
            assert "default-src 'none'" in text
            assert re.findall(r"(?:https?:)?//[a-z][\w.-]*\.[a-z]{2,}", text) == [], name
            assert "@import" not in text


def test_links_lead_to_files_and_places_that_are_there(made, pages):
    for name, page in pages.items():
        folder = name.rpartition("/")[0]
        for href in (attrs["href"] for attrs in page.all("a")):
            path, _, place = href.partition("#")
            target = (Path(folder) / path).as_posix() if path else name
            target = "index.html" if target == f"{folder}/../index.html" else target
            assert target in made, (name, href)
            assert not place or f'id="{place}"' in made[target].decode(), (name, href)


def test_tables_are_told_to_screen_readers(pages):
    for name, page in pages.items():
        assert all("scope" in attrs for attrs in page.all("th")), name
        assert page.all("caption") or name == "index.html"
        for attrs in page.all("svg"):
            assert attrs.get("aria-hidden") == "true" or attrs.get("role") == "img", name
        assert [attrs for attrs in page.all("img") if not attrs.get("alt")] == []


def test_leaderboard_has_the_published_rows_in_order(made):
    text = made["ptb-compression/index.html"].decode()
    board = text[text.index('id="board"') : text.index("</table>", text.index('id="board"'))]
    rows = re.findall(r'<tr data-contender="([^"]+)"', board)
    table = list(csv.DictReader((LEADERBOARDS / "ptb-compression" / "table.csv").read_text().splitlines()))
    assert rows == [row["contender"] for row in table]
    assert "{:.2f} ± {:.2f}".format(*(float(table[0][f"quality_{what}"]) for what in ("mean", "std"))) in board


def test_abbreviations_of_metrics_keep_their_letters():
    found = open_folder(LEADERBOARDS / "cifar10")
    suite = load_suite(found.source, REGISTRY)
    text = rendered(build_table(suite, found.records, REGISTRY))
    assert ">FID (cifarnet features) on test after" in text
    assert "Fid (" not in text


def test_sweep_is_grouped_by_its_points_with_the_references_last(made):
    text = made["ptb-epochs/index.html"].decode()
    groups = re.findall(r'<tr class="group"><th scope="rowgroup"[^>]*><span>([^<]+)', text)
    assert groups == ["epochs=1", "epochs=2", "epochs=5", "epochs=10", "Reference rows"]


def test_every_row_has_its_runs_with_digests_and_the_command_that_runs_it_again(made):
    text = made["ptb-epochs/index.html"].decode()
    for digest in re.findall(r'"digest": "([0-9a-f]{24})"', (LEADERBOARDS / "ptb-epochs" / "results.json").read_text()):
        assert digest in text
    assert "fedgen-bench reproduce leaderboards/ptb-epochs --contender fedgen_edge@epochs=2" in text


def test_drawings_say_what_they_show(pages):
    drawings = [attrs for attrs in pages["ptb-compression/index.html"].all("svg") if attrs.get("role") == "img"]
    assert len(drawings) == 4  # quality against uplink; curves over rounds, bytes and simulated time
    said = "".join(pages["ptb-compression/index.html"].texts)
    for sentence in ("bands reach from the lowest seed to the highest", "The stair is the frontier", "100 kB"):
        assert sentence in said


def test_same_folders_give_the_same_bytes(folders, made):
    assert site_files(folders, REGISTRY) == made


def test_text_of_strangers_stays_text(folders, tmp_path):
    folder = tmp_path / "in" / "ptb-compression"
    shutil.copytree(folders / "ptb-compression", folder)
    results = folder / "results.json"
    evil = "<script>alert(1)</script> & </title>"
    text = results.read_text().replace("Penn Treebank, compressed uplinks", evil)
    assert evil in text
    results.write_text(text)
    (folder / "stranger.js").write_text("alert(2)")
    (folder / "link.csv").symlink_to("/etc/hostname")
    found = site_files(tmp_path / "in", REGISTRY)
    assert all(b"<script>alert" not in content for name, content in found.items() if name.endswith(".html"))
    assert not {"ptb-compression/stranger.js", "ptb-compression/link.csv"} & found.keys()


def test_written_site_is_checked_and_what_is_gone_is_removed(made, tmp_path):
    out = tmp_path / "site"
    write_site(out, made)
    assert outdated(out, made) == []
    (out / "index.html").write_text("changed")
    (out / "ptb-epochs" / "table.csv").unlink()
    (out / "more.txt").write_text("more")
    assert outdated(out, made) == ["index.html", "more.txt", "ptb-epochs/table.csv"]
    (out / "more.txt").unlink()
    fewer = {name: content for name, content in made.items() if not name.startswith("ptb-epochs/")}
    write_site(out, fewer)
    assert outdated(out, fewer) == []


def test_folder_that_holds_something_else_is_left_alone(made, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else than a site"):
        write_site(tmp_path, made)
    write_site(tmp_path / "site", made)
    (tmp_path / "site" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.txt, which no site wrote"):
        write_site(tmp_path / "site", made)
    assert (tmp_path / "site" / "thesis.txt").read_text() == "mine"


def test_folder_without_results_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="holds no published folder"):
        site_files(tmp_path, REGISTRY)


def test_command_writes_and_checks(folders, tmp_path):
    out = tmp_path / "site"
    arguments = ["site", "--leaderboards", str(folders), "--out", str(out)]
    assert CliRunner().invoke(cli, arguments, standalone_mode=False).return_value == 0
    assert CliRunner().invoke(cli, [*arguments, "--check"], standalone_mode=False).return_value == 0
    (out / "index.html").write_text("changed")
    checked = CliRunner().invoke(cli, [*arguments, "--check"], standalone_mode=False)
    assert checked.return_value == 1
    assert "index.html is not what the published folders give" in checked.output


def test_site_is_built_without_torch(folders):
    code = (
        "import sys\nfrom pathlib import Path\nfrom fedgen_bench.registry.plugins import load_registry\n"
        "from fedgen_bench.site.building import site_files\n"
        f"site_files(Path({str(folders)!r}), load_registry(environ={{}}))\n"
        "print(sorted({'torch', 'transformers', 'diffusers', 'peft', 'sklearn', 'matplotlib', 'pandas'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_page_of_a_folder_is_written_where_there_is_one_and_kept_up_to_date(folders, tmp_path):
    folder = tmp_path / "ptb-compression"
    shutil.copytree(folders / "ptb-compression", folder)
    remake(folder, REGISTRY.get("suite", "ptb-compression").spec, REGISTRY)
    assert not (folder / "index.html").exists()
    assert check_folder(folder, REGISTRY) == []
    (folder / "index.html").touch()
    assert "index.html" in check_folder(folder, REGISTRY)
    remake(folder, REGISTRY.get("suite", "ptb-compression").spec, REGISTRY)
    assert check_folder(folder, REGISTRY) == []
    page = Page((folder / "index.html").read_text())
    assert (page.open, page.wrong) == ([], [])
    assert len([attrs for attrs in page.all("svg") if attrs.get("role") == "img"]) == 3  # no simulated time
    assert [attrs["href"] for attrs in page.all("a") if not attrs["href"].startswith("#")] == []


@pytest.mark.parametrize(
    ("suite", "split"), [("ptb-alpha", "dirichlet (alpha 10, 0.03)"), ("ptb-edge", "dirichlet (alpha 0.1)")]
)
def test_what_an_ablation_sweeps_is_told_with_all_of_its_values(suite, split):
    published = open_folder(LEADERBOARDS / suite)
    table = build_table(load_suite(published.source, REGISTRY), published.records, REGISTRY)
    assert dict(facts_of(table))["Split"] == split


@pytest.mark.parametrize(("suite", "drawn"), [("ptb-alpha", True), ("ptb-personal", False)])
def test_quality_is_drawn_over_an_axis_that_it_hangs_on(suite, drawn):
    published = open_folder(LEADERBOARDS / suite)
    table = build_table(load_suite(published.source, REGISTRY), published.records, REGISTRY)
    assert ("Quality over" in rendered(table)) is drawn


def test_card_names_every_contender_that_sends_least(tmp_path):
    shutil.copytree(LEADERBOARDS / "ptb-byzantine", tmp_path / "ptb-byzantine")
    page = site_files(tmp_path, REGISTRY)["index.html"].decode()
    said = re.search(r"<dt>Sends least</dt><dd>(.*?)</dd>", page)[1]
    assert re.findall(r"<strong>(\w+)</strong>", said) == ["trimmed_mean", "median", "krum", "fedgen_edge"]
    assert said.endswith(" 202 kB a client and round")


def test_page_tells_rows_that_were_run_in_another_environment():
    published = open_folder(LEADERBOARDS / "ptb-compression")
    table = build_table(load_suite(published.source, REGISTRY), published.records, REGISTRY)
    assert "other environments" not in rendered(table)
    page = rendered(replace(table, elsewhere={"fedavg_full": "an <old> processor"}))
    assert "<div><dt>fedavg_full</dt><dd>an &lt;old&gt; processor</dd></div>" in page
