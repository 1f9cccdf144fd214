"""How a request was read, as one line of text: for audit events of the API server and of a gateway alike."""

from __future__ import annotations

from tests.e2e.records import Event


def reading(event: Event) -> str:
    """`VERB GROUP/RESOURCE/SUBRESOURCE NAMESPACE NAME`, `-` for what is not there, or `VERB PATH` of no resource."""
    found = event.get("objectRef")
    if found is None:
        return f"{event['verb']} {event['requestURI'].partition('?')[0]}"
    what = "/".join(found[key] for key in ("apiGroup", "resource", "subresource") if found.get(key))
    return f"{event['verb']} {what} {found.get('namespace') or '-'} {found.get('name') or '-'}"


def agree(ours: Event, theirs: Event) -> bool:
    """True if the gateway read a request as the API server did.

    The API server adds the name of what is created once it knows it, so there it may know more.
    """
    read, known = reading(ours), reading(theirs)
    return read == known or (ours["verb"] == "create" and read.removesuffix(" -") == known.rpartition(" ")[0])
