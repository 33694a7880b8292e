"""What a server answers is kept only where it is what was asked for; none makes a fetch wait for ever."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from data_helpers import picture, write_dataset, write_shard

import dynvit.downloads.trying
from dynvit.backbones.weights import find_weights
from dynvit.data import open_split
from dynvit.data.fetching import fetch, in_order
from dynvit.data.space import TURN
from dynvit.errors import InputError
from dynvit.interface import PublishedCheckpoint
from dynvit.published import fetch as fetch_published

PAGE = b"\n<!DOCTYPE html><html><body>log in first</body></html>"
Answer = Callable[["Server"], None]


class Server(BaseHTTPRequestHandler):
    """Answers each path as a test says; the last way is taken again and again."""

    ways: dict[str, list[Answer]]
    asked: list[str]
    seen: dict[str, str]
    done: threading.Event

    def do_GET(self) -> None:
        """One answer."""
        type(self).asked.append(self.path)
        type(self).seen = dict(self.headers.items())
        ways = self.ways.get(self.path)
        if ways is None:
            self.send_error(404)
        else:
            (ways.pop(0) if len(ways) > 1 else ways[0])(self)

    def say(self, body: bytes, *, status: int = 200, claimed: int | None = None, **headers: str) -> None:
        """A whole answer, whose length may be another than is claimed."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if claimed is None else claimed))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Server]]:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dynvit.downloads.trying, "PAUSE", 0.0)
    made = type("Made", (Server,), {"ways": {}, "asked": [], "seen": {}, "done": threading.Event()})
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), made)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    made.url = f"http://127.0.0.1:{httpd.server_port}"  # type: ignore[attr-defined]
    yield made
    made.done.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "a.tar"
    write_shard(path, [("a", 0, picture(0)), ("b", 1, picture(1))])
    return path.read_bytes()


def nothing_kept(tmp_path: Path) -> bool:
    """Whether no file is there, whole or in part, but for the lock of who makes space."""
    return not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != TURN]


def say(body: bytes, **how: Any) -> Answer:
    return lambda server: server.say(body, **how)


def chunked(body: bytes) -> Answer:
    """A body in chunks that ends before its last."""

    def answer(server: Server) -> None:
        server.protocol_version = "HTTP/1.1"
        server.send_response(200)
        server.send_header("Transfer-Encoding", "chunked")
        server.end_headers()
        server.wfile.write(b"%x\r\n%s" % (len(body) + 10, body))
        server.close_connection = True

    return answer


def stalls(server: Server) -> None:
    server.send_response(200)
    server.send_header("Content-Length", "9999")
    server.end_headers()
    server.wfile.write(b"half")
    server.wfile.flush()
    server.done.wait(20)


def trickles(server: Server) -> None:
    server.send_response(200)
    server.send_header("Content-Length", "99999")
    server.end_headers()
    while not server.done.wait(0.02):
        server.wfile.write(b".")
        server.wfile.flush()


def says_nothing(server: Server) -> None:
    server.done.wait(20)


REFUSED: dict[str, tuple[Callable[[bytes], Answer], str]] = {
    "a page that says so": (lambda _: say(PAGE, Content_Type="text/html; charset=utf-8"), "web page"),
    "a page by another name": (lambda _: say(PAGE, Content_Type="application/x-tar"), "is a web page"),
    "a page of no name": (lambda _: say(PAGE), "is a web page"),
    "an error as JSON": (lambda _: say(b'{"error": "token expired"}'), "is no tar"),
    "an empty file": (lambda _: say(b""), "empty"),
    "a short body": (lambda shard: say(shard[:700], claimed=len(shard)), "broke off after 700 of"),
    "a short body of no known length": (lambda shard: chunked(shard[:700]), "IncompleteRead|broke off"),
    "a cut tar": (lambda shard: say(shard[:1536]), "tar without its end"),
    "another hash": (lambda shard: say(shard, X_Linked_ETag=f'"{"0" * 64}"'), "SHA-256 is not the one"),
    "another digest": (
        lambda shard: say(shard, Repr_Digest=f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"),
        "SHA",
    ),
    "not allowed": (lambda _: say(PAGE, status=401), "HTTP 401"),
    "not there": (lambda _: say(PAGE, status=404), "HTTP 404"),
    "gone wrong": (lambda _: say(PAGE, status=503), "HTTP 503"),
    "a loop": (lambda _: say(b"", status=302, Location="/x-validation-00.tar"), "HTTP 302"),
    "a redirect to a file": (lambda _: say(b"", status=302, Location="file:///etc/hostname"), "HTTP 302"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_shard_is_refused_by_host_and_not_kept(
    server: Any, tmp_path: Path, shard: bytes, fault: str
) -> None:
    make, reason = REFUSED[fault]
    path = "/x-validation-00.tar"
    server.ways[path] = [make(shard)]
    with pytest.raises(InputError, match=rf"x-validation-00\.tar(?s:.)* 127\.0\.0\.1:\d+(?s:.)*({reason})") as caught:
        fetch(server.url + path)
    assert "Traceback" not in str(caught.value)
    assert nothing_kept(tmp_path)
    # The server is healed: the same call works.
    server.ways[path] = [say(shard)]
    assert fetch(server.url + path).read_bytes() == shard


def test_a_page_after_a_redirect_is_named_by_where_it_came_from(server: Any, shard: bytes) -> None:
    server.ways["/x-train-00.tar"] = [say(b"", status=302, Location="/login")]
    server.ways["/login"] = [say(PAGE, Content_Type="text/html")]
    with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+ answers with a web page"):
        fetch(f"{server.url}/x-train-00.tar")


@pytest.mark.parametrize("fault", [say(PAGE, status=503), say(b"1234", claimed=99), chunked(b"1234")])
def test_a_server_that_breaks_off_once_is_asked_again(server: Any, shard: bytes, fault: Answer) -> None:
    digest = base64.b64encode(hashlib.sha256(shard).digest()).decode()
    server.ways["/x-train-00.tar"] = [fault, say(shard, Repr_Digest=f"sha-256=:{digest}:")]
    assert fetch(f"{server.url}/x-train-00.tar").read_bytes() == shard
    assert len(server.asked) == 2


def in_parts(body: bytes, step: int, *, lies: bool = False, version: str = '"one"') -> Answer:
    """A body of which each answer brings no more than some bytes; where it ``lies``, from another place."""

    def answer(server: Server) -> None:
        begin = int((server.headers.get("Range") or "bytes=0-")[6:-1])
        begin = begin if server.headers.get("If-Range") == version else 0
        part = body[begin:] if not lies else body[begin // 2 :]
        server.send_response(206 if begin else 200)
        if begin:
            server.send_header("Content-Range", f"bytes {begin // (1 + lies)}-{len(body) - 1}/{len(body)}")
        server.send_header("Content-Length", str(len(part)))
        server.send_header("ETag", version)
        server.end_headers()
        server.wfile.write(part[:step])

    return answer


def test_a_fetch_that_breaks_off_often_goes_on_where_it_was(server: Any, shard: bytes) -> None:
    server.ways["/x-validation-00.tar"] = [in_parts(shard, len(shard) // 6)]
    assert fetch(f"{server.url}/x-validation-00.tar").read_bytes() == shard
    assert len(server.asked) in (6, 7)


def test_a_rest_of_another_version_is_not_added_to_what_came(server: Any, shard: bytes) -> None:
    old = bytes(reversed(shard))
    server.ways["/x-validation-00.tar"] = [in_parts(old, 700), in_parts(shard, len(shard), version='"two"')]
    assert fetch(f"{server.url}/x-validation-00.tar").read_bytes() == shard


def test_a_server_that_lies_about_where_a_part_begins_is_asked_for_the_whole(server: Any, shard: bytes) -> None:
    ways = [in_parts(shard, 700), in_parts(shard, 700, lies=True), say(shard)]
    server.ways["/x-validation-00.tar"] = ways
    assert fetch(f"{server.url}/x-validation-00.tar").read_bytes() == shard


def test_a_rest_that_is_not_there_any_more_is_fetched_as_a_whole(server: Any, shard: bytes) -> None:
    server.ways["/x-validation-00.tar"] = [in_parts(shard, 700), say(b"", status=416), say(shard)]
    assert fetch(f"{server.url}/x-validation-00.tar").read_bytes() == shard


def test_the_next_shard_is_fetched_while_this_one_is_read() -> None:
    begun, may_go = threading.Event(), threading.Event()

    def get(name: str, ahead: bool) -> Path:
        if name == "second":
            begun.set()
            assert may_go.wait(10)
        return Path(name)

    for path in in_order(get, ["first", "second", "third"]):
        if path == Path("first"):
            assert begun.wait(10)
            may_go.set()


@pytest.mark.parametrize("names", [[], ["one"], ["one", "two", "three"]])
def test_what_is_fetched_ahead_comes_in_order(names: list[str]) -> None:
    assert list(in_order(lambda name, _: Path(name), names)) == [Path(name) for name in names]


def test_a_shard_that_cannot_be_fetched_is_said_when_its_turn_comes() -> None:
    def get(name: str, ahead: bool) -> Path:
        if name == "bad":
            raise InputError("no such shard")
        return Path(name)

    found = in_order(get, ["good", "bad", "other"])
    assert next(found) == Path("good")
    with pytest.raises(InputError, match="no such shard"):
        next(found)


def test_without_a_version_a_fetch_begins_again(server: Any, shard: bytes) -> None:
    server.ways["/x-validation-00.tar"] = [say(shard[:700], claimed=len(shard)), say(shard)]
    assert fetch(f"{server.url}/x-validation-00.tar").read_bytes() == shard
    assert "Range" not in server.seen


@pytest.mark.parametrize("way", [stalls, trickles, says_nothing])
def test_a_server_that_stalls_is_given_up(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Answer
) -> None:
    monkeypatch.setenv("DYNVIT_FETCH_SECONDS", "0.3")
    server.ways["/x-train-00.tar"] = [way]
    start = time.monotonic()
    with pytest.raises(InputError, match=r"from 127\.0\.0\.1:\d+ \((it stalled|no answer for 0\.3 s; DYNVIT_FETCH)"):
        fetch(f"{server.url}/x-train-00.tar")
    assert time.monotonic() - start < 10
    assert len(server.asked) == 1
    assert nothing_kept(tmp_path)


@pytest.mark.parametrize(
    ("command", "message"),
    [("sleep 20 # /x-train-00.tar", "no answer for 0.3 s"), ("exit 3 # /x-train-00.tar", "exit code 3")],
)
def test_a_command_is_given_up_as_a_server_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, message: str
) -> None:
    monkeypatch.setenv("DYNVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DYNVIT_FETCH_SECONDS", "0.3")
    with pytest.raises(InputError, match=message):
        fetch(f"pipe:{command}")
    assert nothing_kept(tmp_path)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf"])
def test_the_patience_must_be_a_time(server: Any, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DYNVIT_FETCH_SECONDS", text)
    with pytest.raises(InputError, match="DYNVIT_FETCH_SECONDS must be a number of seconds above 0"):
        fetch(f"{server.url}/x-train-00.tar")


def test_a_page_that_lies_in_the_cache_is_fetched_again(server: Any, shard: bytes) -> None:
    server.ways["/x-train-00.tar"] = [say(shard)]
    kept = fetch(f"{server.url}/x-train-00.tar")
    for damage in (PAGE, b"", shard[:1536]):
        kept.write_bytes(damage)
        assert fetch(f"{server.url}/x-train-00.tar").read_bytes() == shard
    assert fetch(f"{server.url}/x-train-00.tar") == kept
    assert len(server.asked) == 4


def test_a_set_whose_list_was_a_page_opens_once_the_server_is_healed(server: Any, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "cifar10", {"validation": 6})
    for way in ([say(PAGE)], [say(b'{"splits": 3}')]):
        server.ways["/_info.json"] = way
        with pytest.raises(InputError, match=r"127\.0\.0\.1"):
            open_split("cifar10", "validation", data_dir=server.url)
    server.ways |= {f"/{file.name}": [say(file.read_bytes())] for file in folder.iterdir()}
    assert len(open_split("cifar10", "validation", data_dir=server.url)) == 6


def test_a_password_in_an_address_goes_to_the_server_and_into_no_message(server: Any, shard: bytes) -> None:
    url = server.url.replace("//", "//me:se%40cret@") + "/x-train-00.tar"
    with pytest.raises(InputError) as caught:
        fetch(url)
    assert "cret" not in str(caught.value)
    server.ways["/x-train-00.tar"] = [say(shard)]
    fetch(url)
    assert server.seen["Authorization"] == f"Basic {base64.b64encode(b'me:se@cret').decode()}"


def test_no_file_name_of_a_server_leads_out_of_the_cache(server: Any, tmp_path: Path, shard: bytes) -> None:
    splits = {"validation": {"filenames": ["../../../../x-validation-00.tar"], "shard_lengths": [2]}}
    server.ways["/_info.json"] = [say(json.dumps({"splits": splits}).encode())]
    with pytest.raises(InputError, match="HTTP 404"):
        open_split("cifar10", "validation", data_dir=server.url)
    assert fetch(f"{server.url}/_info.json").is_relative_to(tmp_path / "cache")


# -- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [PAGE, b'{"error": "not found"}'])
def test_what_is_no_checkpoint_is_not_kept(server: Any, tmp_path: Path, body: bytes) -> None:
    server.ways["/made.pth"] = [say(body, Content_Type="application/octet-stream")]
    entry = PublishedCheckpoint("made-here", "deit_small_patch16_224", f"{server.url}/made.pth", 50.0)
    with pytest.raises(
        InputError, match=r"cannot fetch made-here: what 127\.0\.0\.1:\d+ answers is (a web page|no torch)"
    ):
        fetch_published(entry)
    assert nothing_kept(tmp_path)


@pytest.mark.parametrize("kept", [PAGE, b"\xff" * 64, b"", b'{"error": 1}'])
def test_weights_of_the_hub_that_are_none_are_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(kept)
    healed = [False]

    def download(repo: str, path: str, **options: object) -> str:
        if options.get("force_download") and healed[0]:
            safetensors.torch.save_file({"a": torch.zeros(1)}, file)
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(InputError, match=r"cannot fetch model\.safetensors of timm/vit: what https://"):
        find_weights("hf://timm/vit")
    healed[0] = True
    assert find_weights("hf://timm/vit") == file


def test_weights_that_are_stored_under_another_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob, link = tmp_path / ("0" * 64), tmp_path / "model.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, blob)
    link.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(link))
    with pytest.raises(InputError, match="another SHA-256"):
        find_weights("hf://timm/vit")
