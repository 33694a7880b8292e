"""dynvit: dynamic vision transformers behind one interface, compared on accuracy and compute."""

from dynvit.version import __version__

__all__ = ["__version__"]
