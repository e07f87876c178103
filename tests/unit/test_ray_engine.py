"""What of the Ray engine needs no Ray: shares that fit, addresses that are no cluster, actors that find no place."""

import contextlib
import math
import socket
import threading

import pytest
from fedgen_bench_plugins.engines import ray_engine
from fedgen_bench_plugins.engines.ray_engine import _Actors, _reach, share

from fedgen_bench.base.errors import FedgenError

GREETED = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("n_gpus", range(1, 9))
@pytest.mark.parametrize("jobs", range(1, 18))
def test_every_job_finds_a_place_on_a_gpu(jobs, n_gpus):
    found = share(1.0, [1.0] * n_gpus, jobs)
    parts = round(found * 10_000)
    assert n_gpus * (10_000 // parts) >= jobs
    assert found == pytest.approx(1 / math.ceil(jobs / n_gpus), abs=1e-4)


def test_three_jobs_on_two_gpus_ask_for_half_of_one():
    assert share(1.0, [1.0, 1.0], 3) == 0.5


@pytest.mark.parametrize(
    ("threads", "nodes", "jobs", "expected"),
    [(4, [16.0], 4, 4), (4, [8.0], 3, 2), (4, [4.0, 4.0], 3, 2), (4, [2.0], 3, 0.6666), (2, [], 2, 0)],
)
def test_share_of_cpus_is_what_fits_on_single_nodes(threads, nodes, jobs, expected):
    assert share(threads, nodes, jobs) == expected


@contextlib.contextmanager
def listening(answer):
    """The address of a server that says one thing and no more."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                link, _ = server.accept()
                kept.append(link)
                link.sendall(answer)

        kept = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(5)
        for link in kept:
            link.close()


def test_address_of_a_server_that_greets_as_ray_does_is_reached():
    with listening(GREETED) as address:
        _reach(address)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"", "Nothing answers at .* (timed out)"), (b"HTTP/1.1 400 Bad Request\r\n", "is no Ray cluster")],
    ids=["silence", "another protocol"],
)
def test_address_where_something_else_listens_is_refused_in_bounded_time(answer, said, monkeypatch):
    monkeypatch.setattr(ray_engine, "_CONNECT_SECONDS", 0.3)
    with listening(answer) as address, pytest.raises(FedgenError, match=said.replace("(", r"\(").replace(")", r"\)")):
        _reach(address)


class FullCluster:
    """Ray whose actors never start."""

    def remote(self, **_):
        return lambda _: self

    put = staticmethod(lambda content: content)

    def wait(self, asked, **_):
        return [], asked


def test_actors_that_find_no_place_are_said_with_what_they_ask_for():
    crew = _Actors(FullCluster(), {"num_cpus": 0, "num_gpus": 0.5})
    crew._asked["worker"] = crew._begun["worker"] = "reference"
    with pytest.raises(FedgenError, match=r"start one of 1 actors \(num_cpus = 0, num_gpus = 0.5 each\)"):
        crew.wait(["worker"], block=True)
