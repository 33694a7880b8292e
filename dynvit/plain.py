"""Text from outside made fit to be seen: on a terminal of any encoding, in a picture, in a spreadsheet.

Names of methods, knobs, classes, data sets and files are whatever somebody wrote. All that is printed, drawn or written
as CSV goes through here, so that no name moves a cursor, turns a line around, or becomes a formula.
"""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from typing import TextIO
from urllib.parse import unquote

# Controls, formats (bidirectional overrides, zero width), lone surrogates, private use, separators of lines.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SPELLED = str.maketrans(
    {
        **{
            "●": "*",
            "○": "o",
            "–": "-",
            "—": "-",
            "−": "-",
            "·": "|",
            "×": "x",
            "✓": "v",
            "\u202f": " ",
            "\u00a0": " ",
        },
        **{"…": "...", "±": "+-", "≥": ">=", "≤": "<=", "→": "->", "∞": "inf", "ε": "eps", "α": "alpha", "β": "beta"},
        **{"½": "1/2", "²": "^2", "“": '"', "”": '"', "’": "'", "‘": "'"},
    }
)
HANDLER = "dynvit"
_PASSWORD = re.compile(r"(?<=://)([^:/@]*):.*(?=@)|(?i:(?<=[?&]password=))[^&\s]*", re.DOTALL)


def visible(text: str, keep: str = "") -> str:
    r"""The text with every character that is not seen as Python writes it; those of ``keep`` stay.

    >>> print(visible("\x1b[31mred \u202e"))
    \x1b[31mred \u202e
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in _UNSEEN else escaped(c) for c in text)


def spelled(text: str, encoding: str) -> str:
    """The text in the characters that an encoding has.

    >>> spelled("L∞ 4/255 ±0.5 é", "ascii")
    'Linf 4/255 +-0.5 \\\\xe9'
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_spelled(c, encoding) for c in text)
    except LookupError:
        return text
    return text


def no_formula(text: str) -> str:
    """A cell that a spreadsheet takes for text, by the apostrophe that it knows.

    >>> no_formula("=1+1"), no_formula("topk")
    ("'=1+1", 'topk')
    """
    seen = visible(text)
    return f"'{seen}" if text.lstrip(" ").startswith(_FORMULA) else seen


def without_password(text: str) -> str:
    """URLs as they may be printed and written.

    >>> without_password("postgresql://me:s3c/r@t@host/db"), without_password("journal:study.log")
    ('postgresql://me:***@host/db', 'journal:study.log')
    """
    return _PASSWORD.sub(lambda found: "***" if found[1] is None else f"{found[1]}:***", text)


def passwords_in(url: str) -> list[str]:
    """What ``without_password`` hides, as it is written and as it is meant."""
    hidden = [found[0].removeprefix(f"{found[1]}:") for found in _PASSWORD.finditer(url)]
    return [secret for one in hidden for secret in dict.fromkeys((one, unquote(one))) if secret]


def say(line: str, *, err: bool = False) -> None:
    """A line on standard output, or on standard error."""
    stream = sys.stderr if err else sys.stdout
    stream.write(visible(line, keep="\n\t") + "\n")
    stream.flush()


def speak_any_encoding() -> None:
    """Let this process's streams spell what their encoding has not, where they would end in a traceback."""
    codecs.register_error(HANDLER, _handle)
    for stream in (sys.stdout, sys.stderr):
        _spell(stream)


def _spell(stream: TextIO) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=HANDLER)


def _handle(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_spelled(c, error.encoding) for c in error.object[error.start : error.end]), error.end


def _spelled(character: str, encoding: str) -> str:
    """A character, or what stands for it; at last its escape, which every encoding has."""
    for choice in (character, character.translate(_SPELLED)):
        try:
            choice.encode(encoding)
        except UnicodeEncodeError:
            continue
        return choice
    return escaped(character)


def escaped(character: str) -> str:
    """A character as Python writes it in a string."""
    return (
        character.encode("unicode_escape", "surrogatepass").decode() if ord(character) > 0x7F else repr(character)[1:-1]
    )
