"""Values in managedFields: of lists that are sets or have keys, they are keys there, after `v:` and `k:`.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from typing import Any

from addons.core.masking.detectors import Detectors
from addons.core.masking.paths import compile_path
from addons.core.masking.placeholder import NO_FINGERPRINT, Fingerprints
from addons.core.masking.text import redact

MANAGED_FIELDS = compile_path("$.metadata.managedFields[*].fieldsV1")

_HIDDEN = f'v:"{NO_FINGERPRINT}"'
_VALUES = ("v:", "k:")
_SILENT = Fingerprints(bytes(16)).silent()


def may_hold_values(body: bytes, secrets: bool) -> bool:
    """False only if no managedFields in a JSON text hold a value to be masked; `secrets`: if there may be any in it."""
    return b'"v:' in body or (secrets and b'"k:' in body)


def mask_sets(fields: Any, hidden: bool, detectors: Detectors) -> Any:
    """`fields` with all values masked if they are `hidden`, and otherwise those that detectors find."""

    def shown(key: str) -> str:
        if hidden and key.startswith("v:"):
            return _HIDDEN
        return redact(key, detectors, _SILENT) if key.startswith(_VALUES) else key

    if not isinstance(fields, dict):
        return fields
    return {shown(key): mask_sets(inner, hidden, detectors) for key, inner in fields.items()}
