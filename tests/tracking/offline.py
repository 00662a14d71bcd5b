"""Read an offline W&B run back: LevelDB's log format around protobuf records."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7


def records(path: Path) -> Iterator[Any]:
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, whole = HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        whole += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def read(folder: Path, patience: float = 3.0) -> dict[str, Any]:
    """The run, its config, history, summary, metric definitions and exit code.

    The client's writer is a process of its own: the end of the file is waited for. A run that was
    killed never comes to it.
    """
    (path,) = folder.glob("run-*.wandb")
    deadline = time.monotonic() + patience
    while True:
        found = _read(path)
        if found["exit"] is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {
        "config": {},
        "history": [],
        "summary": {},
        "metrics": {},
        "exit": None,
    }
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found |= {
                name: getattr(record.run, name) for name in ("run_group", "job_type", "project")
            }
            found["tags"] = list(record.run.tags)
            found["config"] |= _values(record.run.config.update)
        elif kind == "history":
            found["history"].append(_values(record.history.item))
        elif kind == "summary":
            found["summary"] |= _values(record.summary.update)
        elif kind == "metric":
            found["metrics"][record.metric.name or record.metric.glob_name] = record.metric
        elif kind == "exit":
            found["exit"] = record.exit.exit_code
    return found


def _values(items: Any) -> dict[str, Any]:
    return {i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in items}
