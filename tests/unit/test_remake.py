"""A published folder is written again from its own results alone."""

import shutil
from pathlib import Path

from click.testing import CliRunner

from fedgen_bench.cli.main import cli

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "ptb-alpha"


def _content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_published_folder_is_mended_from_its_results_to_the_bit(tmp_path):
    shutil.copytree(PUBLISHED, tmp_path / "ptb-alpha")
    (tmp_path / "ptb-alpha" / "table.md").write_text("other\n", encoding="utf-8")
    (tmp_path / "ptb-alpha" / "table.csv").unlink()
    args = ["leaderboard", "--suite", "ptb-alpha", "--leaderboards", str(tmp_path), "--from-results"]
    result = CliRunner().invoke(cli, args, standalone_mode=False)
    assert result.exception is None, result.output
    assert _content(tmp_path / "ptb-alpha") == _content(PUBLISHED)


def test_folder_without_results_is_told(tmp_path):
    args = ["leaderboard", "--suite", "ptb-alpha", "--leaderboards", str(tmp_path), "--from-results"]
    result = CliRunner().invoke(cli, args)
    assert result.exit_code != 0
    assert not (tmp_path / "ptb-alpha").exists()
