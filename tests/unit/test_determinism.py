"""What is set for a GPU is set in one place, before CUDA is used, and recorded; nothing is for the processor."""

from __future__ import annotations

import os

import pytest
import torch

from fedgen_bench.base.determinism import settings_of, settle
from fedgen_bench.base.environment import fingerprint
from fedgen_bench.base.errors import UsageError
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import USUAL_PLACES, finder
from fedgen_bench.results.store import Store
from fedgen_bench.results.tiers import tier
from fedgen_bench.run import executor
from fedgen_bench.run.executor import Executor, Job
from fedgen_bench.suite.cells import expand

PLACES = {
    "deterministic": lambda: (
        torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "cudnn": lambda: (
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32,
    ),
    "products": torch.get_float32_matmul_precision,
    "attention": lambda: (
        torch.backends.cuda.math_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled(),
        torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.cudnn_sdp_enabled(),
    ),
    "workspace": lambda: os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
}  # fmt: skip


def found():
    return {name: read() for name, read in PLACES.items()}


@pytest.fixture
def untouched(monkeypatch):
    """The process is afterwards what it was."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = found()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    yield before
    torch.utils.deterministic.fill_uninitialized_memory = fills
    torch.use_deterministic_algorithms(before["deterministic"][0], warn_only=before["deterministic"][1])
    for name, value in zip(("deterministic", "benchmark", "allow_tf32"), before["cudnn"], strict=True):
        setattr(torch.backends.cudnn, name, value)
    torch.set_float32_matmul_precision(before["products"])
    for name, value in zip(("math", "mem_efficient", "flash", "cudnn"), before["attention"], strict=True):
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(value)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    assert found() == before


@pytest.mark.usefixtures("untouched")
def test_a_gpu_computes_deterministically_in_fp32_proper():
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    settle("cuda:1")
    assert found() == {
        "deterministic": (True, False),
        "cudnn": (True, False, False),
        "products": "highest",
        "attention": (True, True, True, False),
        "workspace": ":4096:8",
    }


@pytest.mark.parametrize("device", ["cpu", "pretended"])
def test_for_the_processor_nothing_is_set(untouched, device):
    settle(device)
    assert found() == untouched
    assert settings_of(device) == {}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("device", "said"), [("cuda", "warn"), ("mps", None)])
def test_operators_without_a_deterministic_implementation_may_be_let_pass(monkeypatch, device, said):
    if said:
        monkeypatch.setenv("FEDGEN_DETERMINISTIC", said)
    settle(device)
    assert found()["deterministic"] == (True, True)
    assert settings_of(device)["deterministic"] == "warn"


@pytest.mark.usefixtures("untouched")
def test_own_workspace_is_kept_and_recorded(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    settle("cuda")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == settings_of("cuda")["cublas_workspace"] == ":16:8"


def test_another_word_for_it_is_refused(monkeypatch):
    monkeypatch.setenv("FEDGEN_DETERMINISTIC", "yes")
    with pytest.raises(UsageError, match=r"FEDGEN_DETERMINISTIC is `yes`\. Set it to `strict` or `warn`"):
        settle("cuda")
    settle("cpu")


def test_environments_record_what_is_set_for_a_gpu_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "some GPU")
    assert "settings" not in fingerprint("cpu", 1)
    assert "cuda" not in fingerprint("cpu", 1)
    assert fingerprint("cuda:0", 1)["settings"] == settings_of("cuda")
    assert fingerprint("cuda:0", 1)["cuda"].startswith("CUDA ")


def test_other_settings_make_a_rerun_statistical():
    published, here = ({"settings": {"tf32": tf32, "attention": "math"}, "device": "cuda"} for tf32 in (True, False))
    assert tier(published, published).name == "exact"
    assert tier(published, here).name == "statistical"
    assert tier(published, here).reasons == ("tf32 True published, False here",)
    assert tier({"device": "cuda"}, here).reasons[0].startswith("attention not in the record")


class CudaBegunError(Exception):
    """CUDA would be begun here."""


@pytest.mark.usefixtures("untouched")
def test_a_worker_is_settled_before_it_uses_cuda(monkeypatch, registry, toy_suite, tmp_path):
    def begin(*_):
        raise CudaBegunError(os.environ.get("CUBLAS_WORKSPACE_CONFIG"))

    monkeypatch.setattr(torch.cuda, "get_device_name", begin)  # the first that looks at a GPU
    monkeypatch.setattr(executor, "pick_device", str)
    (spec,) = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])
    job, loader = Job(tmp_path, USUAL_PLACES, "cuda", ()), Loader(registry, finder(registry))
    with Store(tmp_path) as store:
        worker = Executor(job, store, registry, loader)
        with pytest.raises(CudaBegunError, match=":4096:8"):
            worker.run(spec, lambda _: None)
