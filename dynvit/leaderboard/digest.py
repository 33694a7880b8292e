"""The digest that a line or a board is written with: an edit or damage of any number is found, also where nothing else
determines the number."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

KEY = "sha256"


def _forgotten(value: str | None) -> None:
    """A digest is of the text: what was read is no other thing for it."""


class Digested(BaseModel):
    """A model whose JSON may carry a digest, which is no part of what it says."""

    sha256: Annotated[Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None, AfterValidator(_forgotten)] = Field(
        default=None, exclude=True, repr=False, description="digest of all else (dynvit.leaderboard.digest)"
    )


def digest(body: dict[str, Any]) -> str:
    """16 hexadecimal digits that change with any value of the JSON object, and not with its order or spaces.

    >>> digest({"a": 1, "b": [2.0]}) == digest({"b": [2.0], "a": 1, KEY: "of before"})
    True
    """
    rest = {key: value for key, value in body.items() if key != KEY}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def with_digest(body: dict[str, Any]) -> dict[str, Any]:
    """The object as it is to be written."""
    return body | {KEY: digest(body)}


def has_digest(body: Any) -> bool:
    """Whether it was written with one: older files have none."""
    return isinstance(body, dict) and isinstance(body.get(KEY), str)


def is_edited(body: Any) -> bool:
    """Whether a JSON object was changed after it was written; one without a digest cannot be told."""
    return isinstance(body, dict) and KEY in body and body[KEY] != digest(body)
