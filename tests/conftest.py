"""What every test gets: one thread, no network, no W&B account, its own folder for outputs."""

from __future__ import annotations

import gc
import ipaddress
import itertools
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported. Two test processes on two cores are faster with one thread each, and
# sums come out the same on every machine.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MPLBACKEND": "Agg"}
os.environ |= {"WANDB_ERROR_REPORTING": "false"}  # to the client's maker
os.environ.pop("WANDB_API_KEY", None)
# The guard below holds in this process; this one stops the clients in children: nothing listens
# on the discard port.
for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
    os.environ[variable] = os.environ[variable.lower()] = "http://127.0.0.1:9"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "localhost,127.0.0.1,::1"


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):  # the path of a Unix socket
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:  # a name
        return False


NUMBERS = itertools.count()


def pytest_collection_finish() -> None:
    """What was imported and collected stays, so the garbage collector need not look through it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """A connection beyond this machine fails the test (no library can swallow pytest.fail)."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(original: Any) -> Any:
        def call(self: socket.socket, address: Any) -> Any:
            if not _is_local(address):
                pytest.fail(f"a test tried to connect to {address}")
            return original(self, address)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(connect))
        patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
        yield


@pytest.fixture(scope="session", autouse=True)
def session_outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For runs that a module's or the session's fixture makes once for several tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AETL_OUTPUT_DIR", str(tmp_path_factory.mktemp("outputs")))
        yield


@pytest.fixture(scope="session", autouse=True)
def without_pages() -> Iterator[Any]:
    """A page takes longer to draw than a tiny run to train: tests that look at one ask for
    ``pages``. Gives what draws it."""
    from aetl import pipeline

    draw = pipeline._report
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_report", lambda record: {})
        yield draw


@pytest.fixture
def pages(without_pages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test draw their page, as they do for users."""
    monkeypatch.setattr("aetl.pipeline._report", without_pages)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Hydra sets the root logger's level, and its handler writes to a stream that ends with the
    test; the next test's warnings are to be seen."""
    level = logging.root.level
    for handler in list(logging.root.handlers):
        if getattr(getattr(handler, "stream", None), "closed", False):
            logging.root.removeHandler(handler)
    yield
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def own_outputs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Runs of a test neither land in the checkout nor reuse what another test stored."""
    if "tmp_path" in request.fixturenames:
        folder: Path = request.getfixturevalue("tmp_path")
    else:  # most tests write nothing, and none is made for them
        folder = tmp_path_factory.getbasetemp() / f"of-{next(NUMBERS)}"
    monkeypatch.setenv("AETL_OUTPUT_DIR", str(folder / "outputs"))
    monkeypatch.setenv("AETL_TRUST", "")
    monkeypatch.setenv("AETL_PATH", "")
    monkeypatch.setenv("AETL_HERE", "")
