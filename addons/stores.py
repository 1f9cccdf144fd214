"""The store that is configured: PostgreSQL by its URL, or else a SQLite file in the state folder."""

from __future__ import annotations

from pathlib import Path

from addons.edge.schema import approvals_url
from addons.edge.store import Store
from addons.settings import Settings


def open_store(settings: Settings) -> Store:
    """Opens it. Raises StoreUnavailable; a PostgreSQL that is away now may come back later."""
    password_file = Path(settings.store_password_file) if settings.store_password_file else None
    return Store(settings.store or approvals_url(Path(settings.state)), settings.approval_seconds, password_file)
