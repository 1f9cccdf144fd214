"""Values in managedFields: of lists that are sets they are keys there, after `v:`.

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
_SILENT = Fingerprints(bytes(16)).silent()


def mask_sets(fields: Any, hidden: bool, detectors: Detectors) -> Any:
    """`fields` with all values masked if they are `hidden`, and otherwise those that detectors find."""

    def shown(key: str) -> str:
        return _HIDDEN if hidden and key.startswith("v:") else redact(key, detectors, _SILENT)

    if not isinstance(fields, dict):
        return fields
    return {shown(key): mask_sets(inner, hidden, detectors) for key, inner in fields.items()}
