"""Vega, Vega-Lite and Vega-Embed as one file beside the pages."""

from __future__ import annotations

from functools import cache

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_NOTICE = """/*! Vega, Vega-Lite, Vega-Embed and their modules, as vl-convert-python bundles them.
 * Copyright (c) 2013-2025, University of Washington Interactive Data Lab. BSD-3-Clause:
 * https://github.com/vega/vega/blob/main/LICENSE. Parts of D3, ISC, Copyright (c) Mike Bostock. */
"""


@cache
def vega_script() -> bytes:
    """The script; what it defines beside ``vegaEmbed`` is its own."""
    import vl_convert

    return f"{_NOTICE}(()=>{{{vl_convert.javascript_bundle(_SNIPPET)}}})();\n".encode()
