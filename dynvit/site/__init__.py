"""Boards as a folder of pages: no server, nothing fetched from outside."""

from dynvit.site.build import Built, build_site

__all__ = ["Built", "build_site"]
