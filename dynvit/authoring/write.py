"""A method's first file and its test, written where none was."""

from __future__ import annotations

import keyword
import re
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.resources import files
from pathlib import Path

from dynvit.errors import InputError
from dynvit.interface import methods

PLACE = "METHOD"
"""What stands for the name in the templates."""
LONGEST = 30
TEMPLATES = {"{}.py": "method.py.txt", "test_{}.py": "test.py.txt"}


def write_method(name: str, folder: Path) -> list[Path]:
    """Write a method that works, and a test that tries every law on it: ``NAME.py`` and ``test_NAME.py``.

    Nothing is overwritten; where the second cannot be written the first is taken away again.

    Raises: ``InputError`` for a name that no method may have, and where a file of that name is there.
    """
    check_name(name)
    paths = {folder / form.format(name): template for form, template in TEMPLATES.items()}
    for path in paths:
        if path.is_symlink() or path.exists():
            raise InputError(f"{path.name} is there already, and nothing is overwritten: give another name, or move it")
    check_free(name, folder)
    written: list[Path] = []
    try:
        for path, template in paths.items():
            with path.open("x", encoding="utf-8", newline="\n") as file:  # x: never what somebody wrote meanwhile
                written.append(path)
                file.write(text_of(template, name))
    except BaseException:
        for path in written:
            with suppress(OSError):
                path.unlink()
        raise
    return written


def text_of(template: str, name: str) -> str:
    """A template with the name put in, which ``check_name`` has let pass: it cannot end a string or a comment."""
    text = files("dynvit.authoring").joinpath(template).read_text(encoding="utf-8")
    return re.sub(rf"\b(test_)?{PLACE}\b", lambda found: (found[1] or "") + name, text)


def check_name(name: str) -> None:
    """A name becomes a file, a word in Python code and in commands: letters, digits and underscores alone.

    Raises: ``InputError`` for any other.
    """
    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LONGEST - 1}}}", name):
        raise InputError(
            f"the name of a method must be 1 to {LONGEST} of a to z, 0 to 9 and _, and begin with a letter, "
            f"as my_method; got {name!r}"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise InputError(f"the name of a method must not be a word of Python's own: {name!r} is; give another")
    if name == "conftest" or name.startswith("test_") or name == "test":
        raise InputError(f"a file {name}.py would be pytest's: give a name that it does not look for")


def check_free(name: str, folder: Path) -> None:
    """Raises: ``InputError`` for a registered method's name, or a module's that a file in ``folder`` would hide."""
    if name in methods.names():
        origins = " and ".join(str(origin) for origin in methods.origins(name))
        raise InputError(f"method {name!r} is there already, from {origins}: give another name")
    elsewhere = [entry for entry in sys.path if entry and Path(entry).resolve() != folder.resolve()]
    # An editable install is on no path, but imported.
    if name in sys.stdlib_module_names or name in sys.modules or PathFinder.find_spec(name, elsewhere):
        raise InputError(f"a file {name}.py would hide the installed Python module {name}: give another name")
