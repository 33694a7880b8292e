"""Vega and Vega-Lite as one file beside the pages."""

from __future__ import annotations

from functools import cache

# Of the bundle that vl-convert has, without vega-embed: its menu and its tooltips are the page's own.
_SNIPPET = "window.vega = vega; window.vegaLite = vegaLite;"
_NOTICE = """/*! Vega, Vega-Lite and their modules. Copyright (c) 2013-2025, University of Washington Interactive Data Lab.
 * BSD-3-Clause: https://github.com/vega/vega/blob/main/LICENSE; parts of D3, ISC, Copyright (c) Mike Bostock.
 * As vl-convert-python bundles them. */
"""


@cache
def vega_script() -> bytes:
    """The script; what it defines beside ``vega`` and ``vegaLite`` is its own."""
    import vl_convert

    return f"{_NOTICE}(()=>{{{vl_convert.javascript_bundle(_SNIPPET)}}})();\n".encode()
