"""`fedgen-bench show`."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from fedgen_bench.cli import completion, options
from fedgen_bench.cli.catalogue import describe
from fedgen_bench.contract.backbones import BackboneSpec
from fedgen_bench.contract.claims import ClaimSpec
from fedgen_bench.contract.datasets import DatasetSpec
from fedgen_bench.contract.device_profiles import DeviceProfile
from fedgen_bench.contract.params import tables_in
from fedgen_bench.suite.source import is_suite_file, suite_source


@click.command("show")
@click.argument("name", shell_complete=completion.anything)
@options.plugin
def command(name: str, plugins: tuple[Path, ...]) -> int:
    """Show a component with its documentation, or a suite's text, by NAME (or KIND/NAME, or a suite's .toml file)."""
    registry = options.open_registry(plugins)
    if is_suite_file(name):
        click.echo(suite_source(name, registry).text)
        return 0
    called = registry.find(name)
    suites = [(where, found) for where, found in called if where == "suite"]
    for where, _ in called if suites else ():
        if where != "suite":
            click.echo(f"There is a {where} of this name, too: `fedgen-bench show {where}/{name}`.", err=True)
    for where, found in suites or called:
        if where == "suite":
            click.echo(found.spec.text)
            continue
        record = describe(where, found)
        version = f"version {record['version']}, " if record["version"] else ""
        click.echo(
            f"{where} {record['name']} ({version}from {record['distribution']} {record['distribution_version']})"
        )
        click.echo(record["summary"])
        for text in _documents(found.spec):
            click.echo(f"\n{text}")
        for key, value in record["params"].items():
            click.echo(f"  {key} = {json.dumps(value)}")
    return 0


def _documents(spec: Any) -> Iterator[str]:
    """What is said of a component, each a paragraph."""
    if isinstance(spec, DatasetSpec):
        yield from (" ".join(filter(None, (one.path, one.sha256, one.url))) for one in spec.files)
        yield f"Licence: {spec.licence}"
    elif isinstance(spec, BackboneSpec):
        yield f"Kind: {spec.kind}" + (f"\nRecipe: {spec.recipe}" if spec.recipe else "")
    elif isinstance(spec, DeviceProfile):
        yield spec.text.rstrip()
    elif isinstance(spec, ClaimSpec):
        yield f"Claim {spec.number}. {inspect.getdoc(spec.judge) or ''}".rstrip()
    else:
        documented = [spec.build, *([spec.params] if dataclasses.fields(spec.params) else [])]
        yield from filter(None, map(inspect.getdoc, documented))
        for name, table in tables_in(spec.params).items():
            yield f"[{name}]\n{inspect.getdoc(table)}"
