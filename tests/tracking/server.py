"""A stand-in for the W&B server on loopback, for the real client: runs, sweeps, artifacts.

It answers the GraphQL operations that the client of 0.31 sends for an online run, ``wandb sync``,
``wandb sweep``, ``wandb agent``, artifacts and ``Api().runs``, and takes file streams and uploads.
What arrived is in ``runs``, ``artifacts`` and ``uploads``, for tests to look at.
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

import yaml

KEY = "f" * 40
"""An API key of the right length."""
NOW = "2026-01-01T00:00:00"
ENTITY = {"id": "E1", "name": "lab"}
VIEWER = {
    "id": "U1", "username": "tester", "entity": "lab", "email": "tester@localhost", "admin": False,
    "flags": "{}", "teams": {"edges": []}, "apiKeys": {"edges": []}, "name": "tester",
}  # fmt: skip
STATES = {0: "finished", 255: "killed"}


@dataclass
class OnlineRun:
    """What the server knows of a run."""

    id: str
    project: str
    state: str = "running"
    fields: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, list[str]] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)  # artifacts by "name"
    outputs: list[str] = field(default_factory=list)
    starts: int = 0

    @property
    def config(self) -> dict[str, Any]:
        stored = json.loads(self.fields.get("config") or "{}")
        return {k: v["value"] for k, v in stored.items() if k != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.streams.get("wandb-history.jsonl", [])]

    @property
    def summary(self) -> dict[str, Any]:
        lines = self.streams.get("wandb-summary.json") or ["{}"]
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def take(self, body: dict[str, Any]) -> None:
        """A request of the file stream."""
        for name, part in (body.get("files") or {}).items():
            lines = self.streams.setdefault(name, [])
            lines[part["offset"] :] = part["content"]
        if body.get("complete"):
            self.state = STATES.get(body.get("exitcode"), "failed")


@dataclass
class Artifact:
    """A version of an artifact's collection."""

    id: str
    name: str
    type: str
    digest: str
    aliases: set[str]
    metadata: str
    state: str = "PENDING"


@dataclass
class Sweep:
    """A grid, gone through in order whatever its method is; then its first run is resumed."""

    id: str
    text: str
    todo: list[dict[str, Any]]
    resumes: bool = False
    started: list[str] = field(default_factory=list)


class Server:
    """Serves until ``stop``; afterwards nobody listens on its port."""

    def __init__(self) -> None:
        self.runs: dict[str, OnlineRun] = {}
        self.sweeps: dict[str, Sweep] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.uploads: dict[str, bytes] = {}
        self.views: list[dict[str, Any]] = []  # saved workspaces
        self.received: list[str] = []  # their names, each time that one came
        self.calls: list[str] = []
        self.unknown: list[str] = []
        self.down = False
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._http = _Quiet(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.down = True  # connections that are open are cut at their next request
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """What a client needs to come here, and nowhere else."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": KEY,
            "WANDB_MODE": "online",
            "WANDB_ENTITY": "lab",
            "WANDB_ERROR_REPORTING": "false",
        }

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL operation."""
        found = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
        name = found.group(1) if found else query.strip()[:40]
        with self._lock:
            self.calls.append(name)
            method = getattr(self, f"_on_{name}", None)
            if method is not None:
                answer: dict[str, Any] = method(given)
                return answer
            if "viewer" in query:
                return {"viewer": VIEWER, "serverInfo": SERVER_INFO}
            self.unknown.append(name)
            return {}

    # Runs.

    def _on_ServerFeaturesQuery(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _on_RunResumeStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(given["name"])
        return {"model": _project(given.get("project")) | {"bucket": run and _resumable(run)}}

    def _on_UpsertBucket(self, given: dict[str, Any]) -> dict[str, Any]:
        known = given.get("name") or (given.get("id") or "").removeprefix("run/")
        run = self.runs.get(known)
        inserted = run is None
        if run is None:
            run = self.runs[known] = OnlineRun(known, given.get("project") or "uncategorized")
        if given.get("name"):
            run.starts += 1
            run.state = "running"
        run.fields |= {key: value for key, value in given.items() if value is not None}
        bucket = {
            "id": f"run/{run.id}",
            "name": run.id,
            "displayName": run.fields.get("displayName") or run.id,
            "description": "",
            "config": run.fields.get("config") or "{}",
            "sweepName": run.fields.get("sweep"),
            "historyLineCount": len(run.history),
            "project": _project(run.project),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def _on_CreateRunFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": self._place(f"{given['run']}/{name}")}
            for name in given["files"]
        ]
        made = {"runID": f"run/{given['run']}", "uploadHeaders": [], "files": files}
        return {"createRunFiles": made}

    def _on_RunStoppedStatus(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"stopped": False}}}

    def _on_GetProject(self, given: dict[str, Any]) -> dict[str, Any]:
        project = _project(given["name"]) | {"createdAt": NOW, "isBenchmark": False}
        return {"project": project | {"internalId": "UHJvamVjdDoxOjE="}}

    def _on_Runs(self, given: dict[str, Any]) -> dict[str, Any]:
        runs = [run for run in self.runs.values() if run.project == given["project"]]
        if not runs:
            return {"project": None}
        after = int(given.get("cursor") or 0)
        page = runs[after : after + given["perPage"]]
        edges = [{"node": _node(run), "cursor": str(after + i + 1)} for i, run in enumerate(page)]
        more = after + len(page) < len(runs)
        connection = {
            "edges": edges,
            "pageInfo": {"endCursor": str(after + len(page)), "hasNextPage": more},
        }
        project = {"internalId": "1", "runCount": len(runs), "readOnly": False}
        return {"project": project | {"runs": connection}}

    # Artifacts.

    def _on_UpsertView2(self, given: dict[str, Any]) -> dict[str, Any]:
        self.views.append(given)
        view = {key: given.get(key) for key in ("type", "name", "displayName", "spec")}
        return {"upsertView": {"view": view | {"id": f"view/{len(self.views)}"}, "inserted": True}}

    def _on_ArtifactType(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["name"].partition(":")[0]
        types = {a.name: a.type for a in self.artifacts.values()}
        known = {"artifactType": {"name": types[name]}} if name in types else None
        return {"project": {"artifact": known}}

    def _on_XXHashDigestsEnabled(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"xxhashDigestsEnabled": False}}

    def _on_CreateArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given["input"]
        name = asked.get("artifactCollectionName") or asked["artifactCollectionNames"][0]
        digest = asked["digest"]
        artifact = next(
            (a for a in self.artifacts.values() if (a.name, a.digest) == (name, digest)), None
        )
        if artifact is None:
            artifact = Artifact(
                f"artifact{next(self._count)}", name, asked["artifactTypeName"], digest,
                {"v0"}, asked.get("metadata") or "{}",
            )  # fmt: skip
            self.artifacts[artifact.id] = artifact
        artifact.aliases |= {alias["alias"] for alias in asked.get("aliases") or []}
        self.runs[asked["runName"]].outputs.append(name)
        sequence = {"id": f"sequence/{name}", "latestArtifact": None}
        made = {"id": artifact.id, "state": artifact.state, "artifactSequence": sequence}
        return {"createArtifact": {"artifact": made}}

    def _on_CreateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"createArtifactManifest": self._manifest(given["artifactID"])}

    def _on_UpdateArtifactManifest(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"updateArtifactManifest": self._manifest(given["artifactManifestID"][9:])}

    def _manifest(self, artifact: str) -> dict[str, Any]:
        place = self._place(f"{artifact}/manifest.json")
        file = {"id": f"file/{artifact}", "uploadUrl": place, "uploadHeaders": []}
        return {"artifactManifest": {"id": f"manifest/{artifact}", "file": file}}

    def _on_CreateArtifactFiles(self, given: dict[str, Any]) -> dict[str, Any]:
        nodes = [
            {
                "name": file["name"],
                "storagePath": f"{file['artifactID']}/{file['name']}",
                "uploadUrl": self._place(f"{file['artifactID']}/{file['name']}"),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            for file in given["input"]["artifactFiles"]
        ]
        edges = [{"node": node} for node in nodes]
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_CommitArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[given["artifactID"]]
        artifact.state = "COMMITTED"
        made = {"id": artifact.id, "digest": artifact.digest}
        return {"commitArtifact": {"artifact": made}}

    def _on_ArtifactMembershipByName(self, given: dict[str, Any]) -> dict[str, Any]:
        name, _, alias = given["name"].partition(":")
        for artifact in self.artifacts.values():
            if artifact.name == name and alias in artifact.aliases:
                membership = _membership(artifact, given["project"])
                return {"project": {"artifactCollectionMembership": membership}}
        return {"project": {"artifactCollectionMembership": None}}

    def _on_ArtifactByID(self, given: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[given["id"]]
        return {"artifact": _membership(artifact, "aetl")["artifact"]}

    def _on_UseArtifact(self, given: dict[str, Any]) -> dict[str, Any]:
        asked = given.get("input") or given  # the client has it in two forms
        artifact = self.artifacts[asked["artifactID"]]
        self.runs[asked["runName"]].inputs.append(artifact.name)
        return {"useArtifact": {"artifact": {"id": artifact.id}}}

    # Sweeps.

    def _on_UpsertSweep(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("id") or f"sweep{next(self._count)}"
        todo = list(_grid(yaml.safe_load(given["config"])["parameters"]))
        self.sweeps[name] = Sweep(name, given["config"], todo)
        made = {"name": name, "project": _project(given.get("projectName"))}
        return {"upsertSweep": {"sweep": made, "configValidationWarnings": []}}

    def _on_SweepWithRuns(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[given["sweep"]]
        method = yaml.safe_load(sweep.text)["method"]
        found = {
            "id": sweep.id, "name": sweep.id, "method": method, "state": "RUNNING",
            "description": "", "config": sweep.text, "createdAt": NOW, "heartbeatAt": NOW,
            "updatedAt": NOW, "earlyStopJobRunning": False, "bestLoss": None, "controller": None,
            "scheduler": None, "runs": {"edges": []},
        }  # fmt: skip
        return {"project": {"id": "P1", "sweep": found}}

    _on_Sweep = _on_GetSweep = _on_SweepWithRuns

    def _on_CreateAgent(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"createAgent": {"agent": {"id": f"agent/{given['sweep']}"}}}

    def _on_Heartbeat(self, given: dict[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[given["id"].removeprefix("agent/")]
        busy = json.loads(given.get("runState") or "{}")
        commands = [] if busy else [self._command(sweep)]
        agent = {"id": given["id"]}
        return {"agentHeartbeat": {"agent": agent, "commands": json.dumps(commands)}}

    def _command(self, sweep: Sweep) -> dict[str, Any]:
        program = yaml.safe_load(sweep.text).get("program")
        if not sweep.todo and sweep.resumes:
            sweep.resumes = False
            run = sweep.started[0]
            whole = json.loads(self.runs[run].fields["config"])
            return {"type": "resume", "run_id": run, "program": program, "args": whole}
        if not sweep.todo:
            return {"type": "exit"}
        run = f"{sweep.id}run{next(self._count)}"
        sweep.started.append(run)
        arguments = {key: {"value": value} for key, value in sweep.todo.pop(0).items()}
        return {"type": "run", "run_id": run, "program": program, "args": arguments}

    def _place(self, path: str) -> str:
        return f"{self.url}/storage/{quote(path)}"


SERVER_INFO = {
    "cliVersionInfo": {"max_cli_version": "9.9.9"},
    "latestLocalVersionInfo": None,
    "features": [],
}


def _project(name: str | None) -> dict[str, Any]:
    return {"id": "P1", "name": name or "uncategorized", "entity": ENTITY}


def _grid(parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    values = [p["values"] if "values" in p else [p.get("value", p.get("min"))]
              for p in parameters.values()]  # fmt: skip
    for row in itertools.product(*values):
        yield dict(zip(parameters, row, strict=True))


def _resumable(run: OnlineRun) -> dict[str, Any]:
    return {
        "id": f"run/{run.id}",
        "name": run.id,
        "summaryMetrics": json.dumps(run.summary),
        "displayName": run.fields.get("displayName"),
        "logLineCount": 0,
        "historyLineCount": len(run.history),
        "eventsLineCount": 0,
        "historyTail": json.dumps(run.streams.get("wandb-history.jsonl", [])[-1:]),
        "eventsTail": "[]",
        "config": run.fields.get("config") or "{}",
        "tags": run.fields.get("tags") or [],
        "notes": None,
        "wandbConfig": json.dumps({"t": 1} if run.starts else {}),  # has it ever been started?
    }


def _node(run: OnlineRun) -> dict[str, Any]:
    return {
        "id": f"run/{run.id}", "projectId": "1", "tags": run.fields.get("tags") or [],
        "name": run.id, "displayName": run.fields.get("displayName"), "state": run.state,
        "sweepName": run.fields.get("sweep"), "config": run.fields.get("config") or "{}",
        "group": run.fields.get("groupName"), "jobType": run.fields.get("jobType"),
        "commit": None, "readOnly": False, "createdAt": NOW, "heartbeatAt": NOW,
        "description": "", "notes": None, "systemMetrics": "{}",
        "summaryMetrics": json.dumps(run.summary), "historyLineCount": len(run.history),
        "user": {"name": "tester", "username": "tester"}, "historyKeys": None,
    }  # fmt: skip


def _membership(artifact: Artifact, project: str) -> dict[str, Any]:
    place = _project(project) | {"internalId": "1"}
    collection = {"__typename": "ArtifactSequence", "name": artifact.name, "project": place}
    aliases = [
        {"__typename": "ArtifactAlias", "id": f"alias/{a}", "alias": a,
         "artifactCollection": collection}
        for a in sorted(artifact.aliases)
    ]  # fmt: skip
    body = {
        "__typename": "Artifact", "id": artifact.id, "artifactSequence": collection,
        "versionIndex": 0, "artifactType": {"name": artifact.type}, "description": None,
        "metadata": artifact.metadata, "ttlDurationSeconds": -2, "ttlIsInherited": True,
        "tags": [], "historyStep": None, "state": artifact.state, "size": 1,
        "digest": artifact.digest, "digestAlgorithm": "MANIFEST_MD5", "commitHash": "c",
        "fileCount": 1, "createdAt": NOW, "updatedAt": NOW, "aliases": aliases,
    }  # fmt: skip
    return {
        "__typename": "ArtifactCollectionMembership", "id": f"member/{artifact.id}",
        "versionIndex": 0, "createdAt": NOW, "aliases": aliases,
        "artifactCollection": collection, "artifact": body,
    }  # fmt: skip


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed hangs up in the middle."""


class _Handler(BaseHTTPRequestHandler):
    server_state: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        if self.path.startswith("/graphql"):
            try:
                answer = self.server_state.answer(body["query"], body.get("variables") or {})
            except Exception as error:  # the client shows it, and the test sees it in `unknown`
                self.server_state.unknown.append(f"{error!r} in {json.dumps(body)[-1500:]}")
                self._send({"errors": [{"message": repr(error)}]})
            else:
                self._send({"data": answer})
        else:  # /files/<entity>/<project>/<run>/file_stream
            self.server_state.runs[self.path.split("/")[4]].take(body)
            self._send({"limits": {}, "exitcode": None})

    def do_PUT(self) -> None:
        name = unquote(self.path.partition("/storage/")[2])
        self.server_state.uploads[name] = self._body()
        self.server_state.received.append(name)
        self._send({})

    def do_GET(self) -> None:
        self._send({})

    def parse_request(self) -> bool:
        if self.server_state.down:
            self.close_connection = True
            return False
        return super().parse_request()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().strip() or b"0", 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _send(self, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def wait_until(true: Any, seconds: float) -> bool:
    """Whether ``true()`` became so in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return bool(true())
