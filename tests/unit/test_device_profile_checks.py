"""Contract checks of populations of devices, and what is shown of them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from fedgen_bench.cli.main import cli
from fedgen_bench.contract.device_profiles import DeviceProfile
from fedgen_bench.testing.contracts import contracts_of
from fedgen_bench.testing.device_profiles import check_rehearsal, check_sources


def profile(text):
    return DeviceProfile(name="odd", summary="", text=text, path="odd.toml")


def test_those_that_come_along_pass(registry):
    found = list(contracts_of(registry, kinds=["device_profile"]))
    assert len(found) == 6
    for one in found:
        one()


def test_a_wrong_share_and_a_text_without_sources_are_told():
    row = "[[classes]]\nname = 'a'\nshare = 0.5\nflops = 1.0\ndown = 1.0\nup = 1.0\n"
    with pytest.raises(AssertionError, match=r"add up to 0\.5, not to 1"):
        check_rehearsal(profile(row))
    with pytest.raises(AssertionError, match="Say where its figures are from"):
        check_sources(profile(row))
    check_rehearsal(profile(row.replace("0.5", "1.0")))


def test_a_profile_is_shown_with_its_text():
    shown = CliRunner().invoke(cli, ["show", "device_profile/phones"])
    assert shown.exit_code == 0, shown.output
    assert "arXiv 2202.10100" in shown.output
