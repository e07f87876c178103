"""Write the pages of the site, and the published tables that `mkdocs.yml` lists: `python docs/make_site.py`.

They go into `build/pages`, or where `--out` says; what an earlier run left there goes. `mkdocs build` makes the site
from that folder alone, and so may any other generator that reads `mkdocs.yml`: nothing is made while it builds. The
leaderboard site is written below the site when that is built, by `fedgen-bench site --out build/site/leaderboards`:
published folders hold Markdown to download, which a generator would take for pages.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from site_pages import navigation, pages
from site_sources import ROOT

from fedgen_bench.site.building import write_site

CONFIG = ROOT / "mkdocs.yml"


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "pages", metavar="DIR")
    write_site(parser.parse_args().out, pages())
    CONFIG.write_text(navigation(CONFIG.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
