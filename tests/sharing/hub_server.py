"""A hub on localhost, which speaks as much of the Hugging Face hub's protocol as huggingface_hub uses here.

Repositories have commits of whole trees, in memory. Large files (by .gitattributes' rule: safetensors, pictures) go by
the Git LFS batch API to a store by SHA-256, and come back by a redirect; small ones as base64 in the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_owner"
LARGE = (".safetensors", ".png", ".bin")
REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Repository:
    """commits: SHA → tree, name → bytes. branches: name → SHA."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "begun", branch: str = "main") -> str:
        tree = self.commits.get(self.branches.get(branch, ""), {}) | files
        told = repr((len(self.commits), sorted(tree), message)).encode()
        sha = hashlib.sha1(told + b"".join(tree[name] for name in sorted(tree))).hexdigest()
        self.commits[sha] = tree
        self.branches[branch] = sha
        self.messages.append(message)
        return sha

    def tree(self, branch: str = "main") -> dict[str, bytes]:
        return self.commits[self.branches[branch]]


@dataclass
class Hub:
    """url: its endpoint. storage: of large files, at another host, to which no token goes. asked: METHOD path of each
    request. down: whether it answers 503 to all."""

    url: str = ""
    storage: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    store: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def add(self, name: str, files: dict[str, bytes], **about: Any) -> Repository:
        self.repositories[name] = repository = Repository(**about)
        repository.commit(files)
        return repository

    def downloaded(self) -> set[str]:
        """Names of the files whose bytes were asked for."""
        found = (re.search(r"^GET /.*/resolve/[^/]+/(.*)", line) for line in self.asked)
        return {match[1] for match in found if match}


class RefusedError(Exception):
    def __init__(self, status: int, code: str = "", text: str = "no") -> None:
        self.status, self.code, self.text = status, code, text


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: bytes = b"", /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def _run(self) -> None:
        body = self._body()
        parts = urlsplit(self.path)
        self.hub.asked.append(f"{self.command} {parts.path}")
        try:
            if self.hub.down:
                raise RefusedError(503, text="out of order")
            for method, pattern, do in WAYS:
                if (found := re.fullmatch(pattern, parts.path)) and self.command in method:
                    do(self, body, parse_qs(parts.query), **{k: unquote(v) for k, v in found.groupdict().items() if v})
                    return
            raise RefusedError(404)
        except RefusedError as refused:
            text = json.dumps({"error": refused.text}).encode()
            told = {"X_Error_Code": refused.code, "X_Error_Message": refused.text} if refused.code else {}
            self._answer(refused.status, text, Content_Type="application/json", **told)

    do_GET = do_POST = do_PUT = do_HEAD = _run  # noqa: N815

    # -- what it knows --------------------------------------------------------------------------------------------

    @property
    def owner(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _repository(self, repo: str) -> Repository:
        found = self.hub.repositories.get(repo)
        if found is None or (found.private and not self.owner):
            raise RefusedError(404 if self.owner else 401, "RepoNotFound", "Repository not found")
        return found

    def _commit(self, repo: str, rev: str) -> tuple[Repository, str]:
        repository = self._repository(repo)
        sha = repository.branches.get(rev, rev)
        if sha not in repository.commits:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        return repository, sha

    def _writes(self) -> None:
        if not self.owner:
            raise RefusedError(401, text="Invalid username or password.")

    def info(self, _: bytes, query: dict[str, list[str]], repo: str, rev: str = "main") -> None:
        repository, sha = self._commit(repo, rev)
        tree = repository.commits[sha].items()
        files = [{"rfilename": name} | ({"size": len(data)} if "blobs" in query else {}) for name, data in tree]
        told = {"private": repository.private, "gated": "manual" if repository.gated else False}
        self._json({"id": repo, "modelId": repo, "sha": sha, "siblings": files, "tags": []} | told)

    def tree(self, _: bytes, __: dict[str, list[str]], repo: str, rev: str) -> None:
        repository, sha = self._commit(repo, rev)
        self._json(
            [
                {"type": "file", "path": name, "size": len(data), "oid": blob_id(data)}
                | ({"lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 134}} if is_large(name) else {})
                for name, data in repository.commits[sha].items()
            ]
        )

    def resolve(self, _: bytes, __: dict[str, list[str]], repo: str, rev: str, file: str) -> None:
        repository, sha = self._commit(repo, rev)
        if repository.gated and not self.owner:
            raise RefusedError(403 if self.headers.get("Authorization") else 401, "GatedRepo", "Access is restricted")
        data = repository.commits[sha].get(file)
        if data is None:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        if not is_large(file):
            self._answer(200, data, X_Repo_Commit=sha, ETag=f'"{blob_id(data)}"')
            return
        self.hub.store[sha256(data)] = data
        told = {"X_Linked_ETag": f'"{sha256(data)}"', "X_Linked_Size": str(len(data)), "X_Repo_Commit": sha}
        self._answer(302, Location=f"{self.hub.storage}/lfs/{sha256(data)}", **told)

    # -- what it is given -----------------------------------------------------------------------------------------

    def create(self, body: bytes, _: dict[str, list[str]]) -> None:
        self._writes()
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            self._json({"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"}, 409)
            return
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.add(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        self._json({"url": f"{self.hub.url}/{name}", "id": name})

    def branch(self, _: bytes, __: dict[str, list[str]], repo: str, rev: str) -> None:
        self._writes()
        repository = self._repository(repo)
        if rev in repository.branches:
            raise RefusedError(409, text="Reference already exists")
        repository.branches[rev] = repository.branches["main"]
        self._json({})

    def validate(self, body: bytes, _: dict[str, list[str]]) -> None:
        import yaml

        head = json.loads(body)["content"].split("---\n")[1]
        told = yaml.safe_load(head)
        errors = [] if isinstance(told, dict) and told.get("license") != "" else [{"message": "no metadata"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, body: bytes, _: dict[str, list[str]], repo: str, rev: str) -> None:
        self._writes()
        tree = self._repository(repo).tree(rev)
        files = []
        for file in json.loads(body)["files"]:
            name = file["path"]
            there = tree.get(name)
            oid = None if there is None else sha256(there) if is_large(name) else blob_id(there)
            mode = "lfs" if is_large(name) else "regular"
            files.append({"path": name, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": files})

    def batch(self, body: bytes, _: dict[str, list[str]], repo: str) -> None:
        self._writes()
        self._repository(repo)
        objects = []
        for thing in json.loads(body)["objects"]:
            new = thing["oid"] not in self.hub.store
            upload = (
                {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{thing['oid']}", "header": {}}}} if new else {}
            )
            objects.append({"oid": thing["oid"], "size": thing["size"]} | upload)
        self._json({"transfer": "basic", "objects": objects})

    def lfs(self, body: bytes, _: dict[str, list[str]], oid: str) -> None:
        if self.command == "PUT":
            if sha256(body) != oid:
                raise RefusedError(400, text="not the bytes of this hash")
            self.hub.store[oid] = body
            self._answer(200)
        elif oid in self.hub.store:
            self._answer(200, self.hub.store[oid], ETag=f'"{oid}"')
        else:
            raise RefusedError(404)

    def commit(self, body: bytes, _: dict[str, list[str]], repo: str, rev: str) -> None:
        self._writes()
        repository = self._repository(repo)
        files, message = {}, ""
        for line in filter(None, body.split(b"\n")):
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.store[value["oid"]]
            else:
                raise RefusedError(400, text=f"{item['key']} is not known here")
        sha = repository.commit(files, message, rev)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})


def is_large(name: str) -> bool:
    return name.endswith(LARGE)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob_id(data: bytes) -> str:
    """As Git names a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


WAYS = [
    (("POST",), "/api/repos/create", _Handler.create),
    (("POST",), "/api/validate-yaml", _Handler.validate),
    (("GET",), f"/api/models/{REPO}", _Handler.info),
    (("GET",), f"/api/models/{REPO}/revision/(?P<rev>[^/]+)", _Handler.info),
    (("GET",), f"/api/models/{REPO}/tree/(?P<rev>[^/]+)/?", _Handler.tree),
    (("POST",), f"/api/models/{REPO}/branch/(?P<rev>[^/]+)", _Handler.branch),
    (("POST",), f"/api/models/{REPO}/preupload/(?P<rev>[^/]+)", _Handler.preupload),
    (("POST",), f"/api/models/{REPO}/commit/(?P<rev>[^/]+)", _Handler.commit),
    (("POST",), f"/{REPO}.git/info/lfs/objects/batch", _Handler.batch),
    (("GET", "PUT", "HEAD"), "/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs),
    (("GET", "HEAD"), f"/{REPO}/resolve/(?P<rev>[^/]+)/(?P<file>.+)", _Handler.resolve),
]


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers while one is inside."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url, hub.storage = (f"http://{host}:{server.server_address[1]}" for host in ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
