"""What is refused because masking could not hold otherwise.

Placeholders in a write (they would overwrite the real value), JSON Patch operations that compare or copy masked
fields (an oracle, and a way to a field that is not masked), selectors of such fields, upgrades whose frames are not
masked here, and replies that cannot be masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from addons.core.kube_request import KubeRequest
from addons.core.masking.codec import Unmaskable, decode_json
from addons.core.masking.placeholder import contains_marker, contains_placeholder
from addons.core.masking.plan import MaskPlan
from addons.core.masking.reply import Reply
from addons.core.refusal import Refusal
from addons.core.selectors import selected_fields

_WRITING = frozenset({"POST", "PUT", "PATCH"})
_PLAIN_FIELDS = frozenset({"metadata.name", "metadata.namespace", "type"})
"""What may be selected of objects with masked fields: it is shown of all of them."""
_LEAKING = frozenset({"test", "copy", "move"})


def refuse_request(
    plan: MaskPlan, request: KubeRequest, headers: Mapping[str, str], body: bytes, decoded: Any = None
) -> Refusal | None:
    """The refusal of a request that must not be sent, or None. `decoded`: the body, where it could be decoded.

    `headers` finds names in lower case.
    """
    return (
        refuse_upgrade(plan, headers.get("upgrade", ""))
        or refuse_selector(plan, request)
        or refuse_write(plan, request, headers.get("content-type", ""), body, decoded)
    )


def refuse_reply(why: str) -> Refusal:
    """The refusal that stands in for a reply that could not be masked."""
    return Refusal(
        code=502,
        rule="reply-not-masked",
        what="pass on the reply",
        why=f"the server answered, but its reply could not be masked: {why}",
        hint="a write may have taken effect: look before you repeat it; ask for application/json",
    )


def refuse_write(
    plan: MaskPlan, request: KubeRequest, content_type: str, body: bytes, decoded: Any = None
) -> Refusal | None:
    """The refusal of a write that must not be sent, or None. `body` as received; `decoded` where that was possible."""
    if plan.reply is not Reply.OBJECTS or request.method not in _WRITING:
        return None
    path = contains_placeholder(decoded) if isinstance(decoded, Mapping) else None
    if path or contains_marker(body):
        return Refusal(
            code=403,
            rule="masked-value-written",
            why=f"{path or 'the body'} holds a placeholder that the gateway put in place of a masked value;"
            " writing it would destroy the real value",
            hint="leave masked fields out: send only the fields you change (kubectl patch, label, annotate), or give"
            " the field a new value of your own",
        )
    if plan.guards and "json-patch+json" in content_type.lower():
        return _refuse_patch(body)
    return None


def refuse_selector(plan: MaskPlan, request: KubeRequest) -> Refusal | None:
    """The refusal of a list that is narrowed to what a masked field holds, which tells the value; or None."""
    if not plan.guards:
        return None
    asked = {field for key, value in request.query if key == "fieldSelector" for field in selected_fields(value)}
    if not (probing := sorted(asked - _PLAIN_FIELDS)):
        return None
    return Refusal(
        code=403,
        rule="masked-value-probed",
        why=f"a selector of the field {probing[0]} could reveal a masked value",
        hint="select by metadata.name, metadata.namespace or labels",
    )


def refuse_upgrade(plan: MaskPlan, upgrade: str) -> Refusal | None:
    """The refusal of an upgrade whose messages would be objects, or None. `upgrade` is the header, "" when absent."""
    if plan.passes or not upgrade or plan.reply is not Reply.OBJECTS:
        return None
    return Refusal(
        code=403,
        rule="upgrade-not-masked",
        why="replies that are masked are not sent over an upgraded connection",
        hint="use plain HTTP: ?watch=true",
    )


def _refuse_patch(body: bytes) -> Refusal | None:
    try:
        operations = decode_json(body)
    except Unmaskable:
        operations = None
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        return Refusal(
            code=400, rule="ambiguous-patch", why="the body is not a JSON Patch", hint="send a list of operations"
        )
    for operation in operations:
        # Kubernetes' decoder reads keys case-insensitively: judge every spelling.
        fields = {str(key).lower(): value for key, value in operation.items()}
        places = [fields.get("path"), fields.get("from")]
        if fields.get("op") in _LEAKING and not all(_harmless(place) for place in places if place is not None):
            return Refusal(
                code=403,
                rule="masked-value-probed",
                why=f"the JSON Patch operation {fields['op']} could reveal a masked value",
                hint="use add, replace and remove; test only fields of metadata, such as /metadata/resourceVersion",
            )
    return None


def _harmless(pointer: Any) -> bool:
    """True for a JSON pointer to a field of metadata other than annotations."""
    parts = str(pointer).replace("~1", "/").replace("~0", "~").split("/") if isinstance(pointer, str) else []
    return len(parts) > 2 and parts[:2] == ["", "metadata"] and parts[2] not in ("", "annotations")
