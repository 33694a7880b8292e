"""Text as LaTeX reads it: in tables of boards, and in BibTeX."""

from __future__ import annotations

import unicodedata

from dynvit.plain import visible

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "{": r"\{",
    "}": r"\}",
    **{c: f"\\{c}" for c in "&%$#_"},
    # What we say ourselves, and pdflatex's input encoding does not have.
    **{
        "≥": r"$\geq$",
        "≤": r"$\leq$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "−": "$-$",
        "≈": r"$\approx$",
        "∞": r"$\infty$",
    },
    **{"●": r"$\bullet$", "○": r"$\circ$", "ε": r"$\varepsilon$", "α": r"$\alpha$", "β": r"$\beta$", "→": r"$\to$"},
    **{"–": "--", "—": "---", "…": r"\dots{}", "·": r"$\cdot$", "\u202f": r"\,", "\u00a0": "~"},
}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030c": "v", "\u0327": "c"}


def latex(text: str) -> str:
    r"""The text with its special characters escaped, accents as commands; letters of other scripts stay.

    >>> print(latex("50 % of Pirk, Sören & co: exits ≥ .83"))
    50 \% of Pirk, S{\"o}ren \& co: exits $\geq$ .83
    """
    return "".join(map(_letter, visible(text)))


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    base, *marks = list(unicodedata.normalize("NFD", letter))
    if len(marks) != 1 or marks[0] not in _ACCENTS or not (base.isascii() and base.isalpha()):
        return letter
    command = _ACCENTS[marks[0]]
    dotless = {"i": r"\i", "j": r"\j"}.get(base, base) if command not in "c" else base
    return f"{{\\{command}{{{dotless}}}}}" if command.isalpha() or dotless != base else f"{{\\{command}{base}}}"
