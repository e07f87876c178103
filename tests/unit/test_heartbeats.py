"""A worker that is stopped, dead or stuck in the middle of a message is gone in bounded time; one at work is not."""

import contextlib
import multiprocessing
import os
import signal
import struct
import time

import pytest

from fedgen_bench.base import heartbeats
from fedgen_bench.base.heartbeats import Ear, Mouth, Sign, listen
from fedgen_bench.base.pool import Died


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch):
    monkeypatch.setattr(heartbeats, "_BEAT_SECONDS", 0.05)


@contextlib.contextmanager
def working(work, patience=0.4):
    """The coordinator's end of a process that does `work(link)`."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    ear = Ear(ours, process, patience)
    try:
        yield ear
    finally:
        ear.end()


def heard(ear):
    ((_, message),) = listen([ear], block=True)
    return message


def _stopped(_link):
    os.kill(os.getpid(), signal.SIGSTOP)


def _stops_at_work(link):
    with Mouth(link).working():
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGSTOP)


def _stops_in_a_message(link):
    os.write(link.fileno(), struct.pack("!i", 1000) + b"half")
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.parametrize("work", [_stopped, _stops_at_work, _stops_in_a_message])
def test_stopped_worker_is_gone_after_the_patience(work):
    began = time.monotonic()
    with working(work) as ear:
        assert heard(ear) == Died("no sign of life for 0.4 s: it was stopped, or hangs", begun=False)
    assert time.monotonic() - began < 5


def test_worker_that_was_stopped_does_not_block_what_it_is_given():
    with working(_stopped) as ear:
        ear.give(bytes(1 << 22))
        assert isinstance(heard(ear), Died)


def _exits(_link):
    os._exit(3)


def test_dead_worker_is_gone_with_how_it_ended():
    with working(_exits) as ear:
        assert heard(ear) == Died("exit code 3", begun=False)


def _accepts_and_exits(link):
    Mouth(link).say(Sign.BEGUN)
    os._exit(3)


def test_death_tells_whether_the_worker_had_accepted_what_it_was_given():
    with working(_accepts_and_exits) as ear:
        assert heard(ear) == Died("exit code 3", begun=True)
    with working(_accepts_and_exits) as ear:
        ear.process.join()
        assert listen([ear], block=False) == []  # that it had begun
        ear.give("the next")
        assert heard(ear) == Died("exit code 3", begun=False)


def _sleeps(link):
    mouth = Mouth(link)
    mouth.say(Sign.BEGUN)
    with mouth.working():
        time.sleep(1.2)
    mouth.say("done")
    time.sleep(9)


def _computes(link):
    until = time.process_time() + 1
    while time.process_time() < until:  # and gives no sign
        pass
    link.send("done")
    time.sleep(9)


def test_worker_that_takes_longer_than_the_patience_is_waited_for():
    with working(_sleeps) as ear:
        assert heard(ear) == "done"


def test_processor_time_is_a_sign_of_life():
    with working(_computes) as ear:
        assert heard(ear) == "done"


def test_listening_without_blocking_returns_at_once():
    with working(_stopped) as ear:
        assert listen([ear], block=False) == []
