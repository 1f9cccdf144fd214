"""The console's few pages: plain HTML without scripts, everything that comes from elsewhere escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from addons.console import style

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src {style.SOURCE}; form-action *; frame-ancestors 'none';"
    " base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer. `form-action` is open: signing in goes from here to the provider and to the person's machine.
With the referrer policy no-referrer, browsers would send the device form without its origin (`Origin: null`).
"""


def page(title: str, *paragraphs: str) -> str:
    """A page; the paragraphs are HTML."""
    body = "".join(f"<p>{each}</p>" for each in paragraphs)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · Chaperone</title><style>{style.STYLE}</style>"
        f'<body class="narrow"><main><h1>{escape(title)}</h1>{body}</main></html>'
    )


def failed(why: str) -> str:
    """What went wrong."""
    return page("Not signed in", escape(why))


def done() -> str:
    """A device goes on."""
    return page("Signed in", "You are signed in. Your device goes on by itself; this window may be closed.")


def choose(links: Mapping[str, str]) -> str:
    """Which provider; `links` are URLs by name."""
    return page("Sign in", *(f'<a href="{escape(url)}">{escape(name)}</a>' for name, url in links.items()))


def post(url: str, fields: Mapping[str, str]) -> str:
    """On to a provider that is asked by a form."""
    hidden = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items()
    )
    return page(
        "Sign in",
        f'<form method="post" action="{escape(url)}">{hidden}<button autofocus>Go on to sign in</button></form>',
    )


def device(user_code: str, providers: Sequence[str]) -> str:
    """Asks for the code that a device shows, and for a provider where there are several."""
    options = "".join(f"<option>{escape(name)}</option>" for name in providers)
    choice = f'<label>at <select name="provider">{options}</select></label> ' if len(providers) > 1 else ""
    return page(
        "Sign in a device",
        "Go on only if you began this yourself, and the device in front of you shows this very code. "
        "Whoever shows it will act in your name.",
        f'<form method="post" action="device"><label>Code <input name="user_code" value="{escape(user_code)}" '
        f'autocomplete="off" autocapitalize="characters" required></label> {choice}<button>Sign in</button></form>',
    )
