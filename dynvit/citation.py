"""A paper as a method declares it, and its BibTeX. Import ``Citation`` from ``dynvit.interface`` in a method."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from dynvit.latex import latex

_PROCEEDINGS = {
    "AAAI": "AAAI Conference on Artificial Intelligence",
    "CVPR": "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
    "ECCV": "European Conference on Computer Vision",
    "ICCV": "IEEE/CVF International Conference on Computer Vision",
    "ICCVW": "IEEE/CVF International Conference on Computer Vision Workshops",
    "ICLR": "International Conference on Learning Representations",
    "ICML": "International Conference on Machine Learning",
    "NeurIPS": "Advances in Neural Information Processing Systems",
}


@dataclass(frozen=True)
class Citation:
    """What a citation needs beside the venue and the year, which the method's class says.

    ``authors`` are ``Family, Given``, in the order of the paper; empty where they are not known for certain. ``arxiv``
    is the number alone, ``doi`` without an address.
    """

    title: str
    authors: tuple[str, ...] = ()
    arxiv: str = ""
    doi: str = ""

    @property
    def url(self) -> str:
        """Where to read it; empty where nowhere is known."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


def bibtex(citation: Citation, *, name: str, venue: str, year: int | None) -> str:
    """The entry of a paper, of its method's name in its key.

    Args:
        citation: The paper.
        name: The method's name.
        venue: Where it appeared, as the field says it; empty where nowhere but on arXiv.
        year: When; None where nobody says.

    Returns:
        ``@inproceedings`` where there is a venue, else ``@misc``, without a newline at its end.
    """
    family = citation.authors[0].partition(",")[0] if citation.authors else ""
    fields = {
        "title": f"{{{latex(citation.title)}}}",  # capitals stay as they are
        "author": " and ".join(map(latex, citation.authors)),
        "booktitle": latex(_PROCEEDINGS.get(venue, venue)),
        "year": "" if year is None else str(year),
        "eprint": latex(citation.arxiv),
        "archiveprefix": "arXiv" if citation.arxiv else "",
        "doi": latex(citation.doi),
    }
    return entry("inproceedings" if venue else "misc", f"{family}{year or ''}{name}", fields)


def entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    """An entry of BibTeX: its key in small letters and digits, and the fields that say something.

    >>> print(entry("misc", "Müller 2021", {"title": "A", "year": ""}))
    @misc{muller2021,
      title = {A},
    }
    """
    plain = unicodedata.normalize("NFKD", key).encode("ascii", "ignore").decode().lower()
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{re.sub('[^a-z0-9-]', '', plain) or 'entry'},", *lines, "}"])
