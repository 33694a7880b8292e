"""What happens to files: bits flip, ends are cut, lines come twice, numbers and types are edited, files are none."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[random.Random, Path], str]
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")
_ODD: tuple[Any, ...] = (None, True, -1, 0, 1e308, "", "x", "\u0000", [], {}, [[]], 3.7, "3", 10**400, float("nan"))


def damaged(rng: random.Random, path: Path) -> str:
    """Damage the file in one way. Returns what was done."""
    text = path.suffix in (".json", ".jsonl", ".yaml", ".txt", ".csv", ".py")
    chosen = rng.choice([*_ANY, *(_TEXT if text else ()), *(_JSON if path.suffix in (".json", ".jsonl") else ())])
    return chosen(rng, path)


def _flip(rng: random.Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 8))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return "bits flipped"


def _cut(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) + 1)])
    return "cut"


def _insert(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    at = rng.randrange(len(content) + 1)
    path.write_bytes(content[:at] + rng.randbytes(rng.choice((1, 4, 600))) + content[at:])
    return "bytes inserted"


def _zero(rng: random.Random, path: Path) -> str:
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content) + 1)
    length = min(rng.choice((1, 64, 4096)), len(content) - at)
    content[at : at + length] = bytes(length)
    path.write_bytes(content)
    return "zeroed"


def _twice(rng: random.Random, path: Path) -> str:
    path.write_bytes(path.read_bytes() * 2)
    return "written twice"


def _empty(rng: random.Random, path: Path) -> str:
    path.write_bytes(b"")
    return "emptied"


def _replaced(rng: random.Random, path: Path) -> str:
    path.unlink()
    kind = rng.choice(("folder", "pipe", "socket", "link to nothing", "link to itself", "device"))
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))
    else:
        path.symlink_to({"link to nothing": "nothing", "link to itself": path.name, "device": "/dev/zero"}[kind])
    return kind


def _line_gone(rng: random.Random, path: Path) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    path.write_bytes(b"".join(lines))
    return "line removed"


def _line_twice(rng: random.Random, path: Path) -> str:
    lines = path.read_bytes().splitlines(keepends=True)
    if lines:
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    path.write_bytes(b"".join(lines))
    return "line doubled"


def _number(rng: random.Random, path: Path) -> str:
    content = path.read_bytes()
    found = list(_NUMBER.finditer(content))
    if found:
        one = rng.choice(found)
        new = rng.choice((b"0", b"7", b"-1", b"1e999", b"NaN", b"9" * 5000, b"%d" % rng.randrange(100)))
        content = content[: one.start()] + new + content[one.end() :]
    path.write_bytes(content)
    return "number edited"


def _encoding(rng: random.Random, path: Path) -> str:
    text = path.read_bytes().decode(errors="replace")
    name = rng.choice(("utf-16", "utf-8-sig", "latin-1", "carriage returns", "zero byte"))
    if name == "carriage returns":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    elif name == "zero byte":
        path.write_bytes(text.replace("a", "\0", 1).encode())
    else:
        path.write_bytes(text.replace("e", "é", 1).encode(name, errors="replace"))
    return f"written as {name}"


def _leaf(rng: random.Random, path: Path) -> str:
    """Another type, or another value, of one leaf of one JSON line."""
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    if not lines:
        return "nothing"
    place = rng.randrange(len(lines))
    body = json.loads(lines[place])
    inside: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, one in list(items):
            inside.append((value, key))
            walk(one)

    walk(body)
    if inside:
        holder, key = rng.choice(inside)
        if rng.random() < 0.2 and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = rng.choice(_ODD)
    lines[place] = json.dumps(body)
    path.write_text("\n".join(lines) + "\n")
    return "leaf edited"


def _nested(rng: random.Random, path: Path) -> str:
    path.write_text("[" * 100_000 + "]" * 100_000 + "\n")
    return "nested without end"


def copied(good: Path, to: Path) -> Path:
    """A folder's copy to damage, in place of the one before."""
    shutil.rmtree(to, ignore_errors=True)
    return shutil.copytree(good, to, symlinks=True)


_ANY: tuple[Damage, ...] = (_flip, _flip, _cut, _insert, _zero, _twice, _empty, _replaced)
_TEXT: tuple[Damage, ...] = (_line_gone, _line_twice, _number, _number, _encoding)
_JSON: tuple[Damage, ...] = (_leaf, _leaf, _nested)
LEGITIMATE = frozenset({"line removed", "line doubled", "cut", "emptied", "written twice"})
"""What leaves a file that may have been written so: other numbers are no surprise."""
