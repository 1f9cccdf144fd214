"""Elements of the pages: HTML without scripts. Whatever comes from elsewhere goes through `text`, and is data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from addons.console import pages, style
from addons.core.printable import printable

HEADERS: Mapping[str, str] = {
    **pages.HEADERS,
    "Content-Security-Policy": f"default-src 'none'; style-src {style.SOURCE}; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
}
"""Of every page but the one that sends people to a provider, whose address `form-action` would have to name."""


def document(title: str, content: Iterable[str], header: str = "", refresh: str = "") -> str:
    """A page; `header`, `refresh` and the content are HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{refresh}'
        f"<title>{escape(printable(title))} · Chaperone</title><style>{style.STYLE}</style></head>"
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
    entries = (f"<dt>{escape(printable(name))}</dt><dd>{_value(name, value)}</dd>" for name, value in pairs)
    return f"<dl>{''.join(entries)}</dl>"


def badge(value: str, tone: str = "") -> str:
    """A short word that stands out; `tone` is calm, warm or hot, and says nothing that the word does not."""
    return f'<span class="badge {tone}">{text(value)}</span>'


def risk(value: int, warn: int = 30, hot: int = 60) -> str:
    """A risk of 0 to 100, with a word for how high that is."""
    word, tone = ("low", "calm") if value < warn else ("medium", "warm") if value < hot else ("high", "hot")
    return badge(f"{value} {word}", tone)


def verdict(value: str) -> str:
    """What was decided, or how something stands."""
    sign, tone = _SIGNS.get(value, ("", ""))
    return badge(f"{sign} {value}".strip(), tone)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], caption: str, numbers: Iterable[int] = ()) -> str:
    """A table that scrolls by itself where it is too wide; the cells are HTML, those of `numbers` columns figures."""
    right = frozenset(numbers)

    def cell(tag: str, number: int, content: str) -> str:
        marks = (' class="number"' if number in right else "") + (' scope="col"' if tag == "th" else "")
        return f"<{tag}{marks}>{content}</{tag}>"

    head = "".join(cell("th", number, escape(name)) for number, name in enumerate(heads))
    lines = "".join(f"<tr>{''.join(cell('td', at, each) for at, each in enumerate(row))}</tr>" for row in rows)
    inside = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">{inside}</div>'


_SIGNS = {
    "pending": ("…", "warm"), "granted": ("✓", "calm"), "consumed": ("✓", "calm"), "denied": ("✕", "hot"),
    "expired": ("–", ""), "revoked": ("✕", "hot"), "allow": ("✓", "calm"), "warn": ("!", "warm"),
    "approval": ("?", "warm"), "deny": ("✕", "hot"), "ok": ("✓", "calm"), "failed": ("✕", "hot"),
}  # fmt: skip


def _value(name: str, value: str) -> str:
    if name == "state":
        return verdict(value)
    return risk(int(value)) if name == "risk" and value.isdecimal() else text(value)


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
    inside = f"{hidden}{line if label else ''}<button{_tone(button)}>{escape(button)}</button>"
    return f'<form method="post" action="{escape(action)}">{inside}</form>'


def _tone(button: str) -> str:
    verb = button.split(" ")[0]
    return {"Approve": ' class="go"', "Deny": ' class="stop"', "Revoke": ' class="stop"', "Lock": ' class="stop"'}.get(
        verb, ""
    )


def change(lines: list[str]) -> str:
    """A difference, whole: how many lines there are is said, so nobody has to notice that one is missing."""
    shown = "".join(f'<span class="{_class(line)}">{escape(line) or " "}</span>' for line in lines)
    return f'<h2>What changes ({len(lines)} lines)</h2><pre dir="ltr" tabindex="0">{shown}</pre>'


def _class(line: str) -> str:
    return {"+": "add", "-": "del"}.get(line[:1], "same")
