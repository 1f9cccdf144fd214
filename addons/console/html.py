"""Elements of the pages: HTML without scripts. Whatever comes from elsewhere goes through `text`, and is data."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from addons.console import pages
from addons.core.printable import printable

STYLE = (
    ":root{color-scheme:light dark;background:Canvas;color:CanvasText;font:16px/1.5 system-ui,sans-serif}"
    "body{max-width:60rem;margin:0 auto;padding:0 1rem 3rem;overflow-wrap:anywhere}"
    "header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;padding:.75rem 0;border-bottom:1px solid}"
    "nav{flex:1 1 12rem}nav a{display:inline-block;padding:.25rem .5rem .25rem 0}nav a[aria-current]{font-weight:bold}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem}"
    "ul.items{list-style:none;padding:0}ul.items>li{border:1px solid GrayText;border-radius:.4rem;padding:.6rem .8rem;"
    "margin:.6rem 0}ul.items p{margin:.2rem 0}"
    "dl{display:grid;grid-template-columns:minmax(5rem,9rem) 1fr;gap:.2rem 1rem}dt{font-weight:bold}dd{margin:0}"
    "dd,pre,bdi{white-space:pre-wrap}pre{font:.9rem/1.4 ui-monospace,monospace;border:1px solid GrayText;padding:.6rem;"
    "overflow-wrap:anywhere}"
    ".add{background:color-mix(in srgb,#2a2 22%,transparent)}.del{background:color-mix(in srgb,#d33 22%,transparent)}"
    "form{margin:.6rem 0}label{display:block;margin:.4rem 0}input{width:100%;max-width:30rem;box-sizing:border-box}"
    "input,button{font:inherit;padding:.4rem .8rem}button{cursor:pointer}"
    ":focus-visible{outline:3px solid Highlight;outline-offset:2px}"
    ".skip{position:absolute;left:-100rem}.skip:focus{left:1rem}"
    "@media(max-width:30rem){dl{grid-template-columns:1fr}dt{margin-top:.4rem}}"
)

_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    **pages.HEADERS,
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
}
"""Of every page but the one that sends people to a provider, whose address `form-action` would have to name."""


def document(title: str, content: Iterable[str], header: str = "", refresh: str = "") -> str:
    """A page; `header`, `refresh` and the content are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{refresh}'
        f"<title>{escape(printable(title))} · Chaperone</title><style>{STYLE}</style></head>"
        f'<body><a class="skip" href="#main">Skip to the content</a>{header}'
        f'<main id="main"><h1>{text(title)}</h1>{"".join(content)}</main></body></html>'
    )


def text(value: str) -> str:
    """Text from anywhere: on one line, read from the left, whatever it is made of."""
    return f'<bdi dir="ltr">{escape(printable(value))}</bdi>'


def paragraph(value: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{text(value)}</p>" if value else ""


def link(url: str, name: str, *, current: bool = False) -> str:
    """A link; `name` is plain text."""
    return f'<a href="{escape(url)}"{" aria-current=page" if current else ""}>{text(name)}</a>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{text(value)}</dd>' for name, value in pairs)}</dl>"


def items(entries: Iterable[str]) -> str:
    """A list; the entries are HTML."""
    return f'<ul class="items">{"".join(f"<li>{each}</li>" for each in entries)}</ul>'


def form(action: str, button: str, fields: Mapping[str, str], label: str = "", *, required: bool = False) -> str:
    """A form that is posted, with one line to write if there is a `label`."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    wanted = " required" if required else ""
    line = f'<label>{escape(label)}<input name="note" maxlength="1000" autocomplete="off"{wanted}></label>'
    inside = f"{hidden}{line if label else ''}<button>{escape(button)}</button>"
    return f'<form method="post" action="{escape(action)}">{inside}</form>'


def change(lines: list[str]) -> str:
    """A difference, whole: how many lines there are is said, so nobody has to notice that one is missing."""
    shown = "\n".join(f'<span class="{_class(line)}">{escape(line)}</span>' for line in lines)
    return f'<h2>What changes ({len(lines)} lines)</h2><pre dir="ltr" tabindex="0">{shown}</pre>'


def _class(line: str) -> str:
    return {"+": "add", "-": "del"}.get(line[:1], "same")
