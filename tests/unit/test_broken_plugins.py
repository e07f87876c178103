"""`check` says what is wrong with a broken plugin once, at the plugin's own line.

Each file of `broken_plugins` has one fault. Its docstring is what must be said, `# here` marks the line.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedgen_bench.base.errors import PluginError
from fedgen_bench.cli.main import cli

FILES = sorted((Path(__file__).parent / "broken_plugins").glob("*.py"))


def check(*arguments):
    """Exit code, and what was printed."""
    try:
        result = CliRunner().invoke(cli, ["check", *map(str, arguments)], standalone_mode=False, catch_exceptions=False)
    except PluginError as error:
        return error.exit_code, f"FAILED\n  {error}"
    return result.return_value, result.output


def messages_of(output):
    """What stands below or behind every FAILED."""
    lines = output.splitlines()
    failed = [i for i, line in enumerate(lines) if line.lstrip().startswith("FAILED")]
    return [lines[i] if "is left out" in lines[i] else lines[i + 1].strip() for i in failed]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_cause_is_said_once_at_the_plugins_line(file, monkeypatch):
    monkeypatch.chdir(file.parent)  # where its author stands
    text = file.read_text(encoding="utf-8")
    wanted = ast.get_docstring(ast.parse(text))
    line = next(i for i, one in enumerate(text.splitlines(), start=1) if "# here" in one)
    code, output = check(file)
    found = messages_of(output)
    assert code == 1
    assert len(found) == 1, output
    assert wanted in found[0], output
    assert f"{file.name}:{line}" in found[0], output
