"""Proofs of possession: the signature of a DPoP proof checked, and each proof counted once. Source: RFC 9449, 4.3."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable

from jwt import PyJWK, PyJWTError
from jwt.api_jws import PyJWS

from addons.core.claims import RejectedToken
from addons.core.dpop import WINDOW_SECONDS, check_proof, read_proof

_PROOFS = 65536
_JWS = PyJWS(options={"verify_signature": True, "enforce_minimum_key_length": True})


class Possession:
    """Belongs to one process: a proof that another process has seen may be used here once. `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: OrderedDict[tuple[str, str], float] = OrderedDict()

    def proven(self, proof: str, method: str, url: str, ath: str = "") -> str:
        """The thumbprint of the key that made a proof for this request. Raises RejectedToken. See `check_proof`."""
        unverified, now = read_proof(proof), self._now()
        try:
            _JWS.decode_complete(
                proof, key=PyJWK(dict(unverified.jwk), unverified.alg).key, algorithms=[unverified.alg]
            )
        except (PyJWTError, ValueError, TypeError):
            raise RejectedToken("the signature of its DPoP proof is not valid") from None
        self._use_once((unverified.jkt, check_proof(unverified, method, url, now, ath)), now)
        return unverified.jkt

    def check(self, proof: str, method: str, url: str, ath: str, jkt: str) -> None:
        """Returns if whoever made the proof has the key of this thumbprint. Raises RejectedToken."""
        if not hmac.compare_digest(self.proven(proof, method, url, ath), jkt):
            raise RejectedToken("its DPoP proof was made with another key than its own")

    def _use_once(self, proof: tuple[str, str], now: float) -> None:
        """One too many to remember is refused, not forgotten: a flood must not make an old one new."""
        while self._used and next(iter(self._used.values())) < now:
            self._used.popitem(last=False)
        if proof in self._used:
            raise RejectedToken("its DPoP proof was used before")
        if len(self._used) >= _PROOFS:
            raise RejectedToken("there are too many DPoP proofs now: try again in a minute")
        self._used[proof] = now + 2 * WINDOW_SECONDS
