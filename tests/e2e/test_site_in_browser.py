"""The site in a real browser: three widths, both colour schemes, no error, no request to anybody.

Needs playwright and a Chromium: its own (`playwright install chromium`) or the one that FEDGEN_CHROMIUM names. Without,
tests are skipped, unless FEDGEN_BROWSER_TESTS is `required`.
"""

import os
import shutil
from pathlib import Path

import pytest

from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.site.building import site_files, write_site

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

LEADERBOARDS = Path(__file__).parents[2] / "leaderboards"
SUITES = ("ptb", "ptb-epochs", "cifar10-rank")
PAGES = ("index.html", "ptb/index.html", "ptb/claims.html", "ptb-epochs/index.html")
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "desktop": (1440, 900)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("browsed")
    for name in SUITES:
        shutil.copytree(LEADERBOARDS / name, root / "published" / name)
    write_site(root / "site", site_files(root / "published", load_registry(environ={})))
    return root / "site"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as driver:
        try:
            found = driver.chromium.launch(
                executable_path=os.environ.get("FEDGEN_CHROMIUM"), args=["--no-sandbox", "--no-zygote", "--disable-gpu"]
            )
        except sync_api.Error as error:
            why = f"No Chromium can be started: {str(error).splitlines()[0]}"
            (pytest.fail if os.environ.get("FEDGEN_BROWSER_TESTS") == "required" else pytest.skip)(why)
        yield found
        found.close()


@pytest.fixture
def opened(browser, site):
    """Opens a page of the site, and afterwards holds that nothing went wrong and nobody was asked."""
    wrong, contexts = [], []

    def noted(request):
        if not request.url.startswith(("file:", "data:")):
            wrong.append(f"asked {request.url}")

    def open_page(name, *, size="desktop", scheme="light", scripts=True, place=""):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", noted)
        page.goto(f"{(site / name).as_uri()}{place}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def names(page):
    return page.locator("#board tbody tr[data-contender]").evaluate_all("rows => rows.map(r => r.dataset.contender)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_page_fits_its_window(opened, name, size, scheme):
    page = opened(name, size=size, scheme=scheme)
    width = SIZES[size][0]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")
    widths = page.locator("svg.drawing").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert min(widths, default=300) >= 300


def test_names_stay_in_sight_while_figures_are_scrolled(opened):
    page = opened("ptb/index.html", size="phone")
    board = page.locator(".scroll:has(#board)")
    board.evaluate("one => one.scrollLeft = 400")
    head = page.locator("#board tbody th.name").first.bounding_box()
    assert head["x"] == pytest.approx(board.bounding_box()["x"] + 1, abs=2)


def test_heads_sort_within_their_rows_and_say_so(opened):
    page = opened("ptb/index.html")
    given = names(page)
    head = page.locator("#board th[data-key='uplink_per_client_round_bytes']")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[:2] == ["prompt_tuning", "fedgen_edge_attention"]
    assert set(names(page)[:5]) == set(given[:5])  # reference rows stay below
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[4] == "prompt_tuning"
    assert page.evaluate("location.hash") == "#sort=-uplink_per_client_round_bytes"


def test_columns_are_picked_and_the_address_remembers(opened):
    page = opened("ptb/index.html")
    head = page.locator("#board th[data-key='downlink_total_bytes']")
    assert not head.is_visible()
    page.locator(".picker summary").click()
    page.get_by_label("Downlink").check()
    assert head.is_visible()
    again = opened("ptb/index.html", place=page.evaluate("location.hash"))
    assert again.locator("#board th[data-key='downlink_total_bytes']").is_visible()


def test_link_into_the_page_opens_its_runs_and_keeps_what_was_chosen(opened):
    page = opened("ptb/index.html", place="#sort=-quality_mean")
    page.locator(".strips a[href='#run-fedavg_full']").first.click()
    page.locator("#run-fedavg_full[open]").wait_for()
    page.locator(".picker summary").click()
    page.get_by_label("Downlink").check()
    assert "sort=-quality_mean&columns=" in page.evaluate("location.hash")


def test_click_on_a_row_opens_its_runs_and_escape_closes_them(opened):
    page = opened("ptb/index.html")
    page.locator("#board tr[data-contender='fedgen_edge'] td").nth(2).click()
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    assert "0e90376f0cb32b6aeae1e048" in dialog.inner_text()
    assert "fedgen-bench reproduce leaderboards/ptb --contender fedgen_edge" in dialog.inner_text()
    assert page.evaluate("location.hash") == "#run=fedgen_edge"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert opened("ptb/index.html", place="#run=frozen").get_by_role("dialog").is_visible()


def test_keyboard_alone_reaches_the_runs(opened):
    page = opened("ptb/index.html")
    link = page.locator("#board tr[data-contender='prompt_tuning'] a")
    link.focus()
    page.keyboard.press("Enter")
    assert "prompt_tuning" in page.get_by_role("dialog").inner_text()


def test_whole_without_a_script(opened):
    page = opened("ptb/index.html", scripts=False)
    assert page.locator("#board tbody tr[data-contender]").count() == 9
    assert page.locator("svg.drawing").count() == 4
    page.locator(".picker summary").click()
    head = page.locator("#board th[data-key='downlink_total_bytes']")
    page.get_by_label("Downlink").check()
    assert head.is_visible()
    page.locator("#runs ~ details summary").first.click()
    assert page.locator("details.run[open] pre.command").first.is_visible()


def test_pictures_are_shown_from_the_folder(opened):
    page = opened("cifar10-rank/index.html")
    picture = page.locator("img")
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    assert picture.get_attribute("src") == "samples.png"


def test_methods_are_filtered_by_their_adapter(opened):
    page = opened("index.html")
    rows = page.locator("tr.method:visible")
    every = rows.count()
    page.get_by_label("lora", exact=True).check()
    assert 0 < rows.count() < every
    assert "fedavg_full" not in " ".join(rows.locator("th").all_inner_texts())
