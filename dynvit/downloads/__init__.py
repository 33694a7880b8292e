"""Files from the network: whole and what was asked for, or not there. No server can make a fetch wait for ever."""

from dynvit.downloads.checks import Check, no_web_page
from dynvit.downloads.hub import from_hub, stored_sha256
from dynvit.downloads.trying import download, patience

__all__ = ["Check", "download", "from_hub", "no_web_page", "patience", "stored_sha256"]
