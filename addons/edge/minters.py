"""What makes tokens, by kind of connection."""

from __future__ import annotations

from collections.abc import Mapping

from addons.core.connection import EKS, IMPERSONATE, SERVICE_ACCOUNT
from addons.edge.credentials import Minter
from addons.edge.impersonation import Impersonation
from addons.edge.service_accounts import ServiceAccountTokens
from addons.edge.sts import EksTokens


class Minters:
    """One of each kind. Belongs to one event loop."""

    def __init__(self) -> None:
        self._eks = EksTokens()
        self.by_kind: Mapping[str, Minter] = {
            EKS: self._eks.mint,
            SERVICE_ACCOUNT: ServiceAccountTokens().mint,
            IMPERSONATE: Impersonation().mint,
        }

    def close(self) -> None:
        """Stop their threads."""
        self._eks.close()
