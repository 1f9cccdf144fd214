"""Events as OCSF API Activity (6003), alerts as OCSF Detection Finding (2004), version 1.5.0.

What the schema has no place for is in `unmapped`. Source: https://schema.ocsf.io/1.5.0/classes/api_activity and
…/detection_finding.
"""

from __future__ import annotations

from typing import Any

from addons.core.alert import Fired
from addons.core.pipelines.known import PRODUCT, VENDOR, VERSION, Known, present

OCSF_VERSION = "1.5.0"
API_ACTIVITY, DETECTION_FINDING = 6003, 2004
_CREATE, _READ, _UPDATE, _DELETE, _OTHER = 1, 2, 3, 4, 99
_ACTIVITIES = {
    "create": _CREATE,
    "get": _READ,
    "list": _READ,
    "watch": _READ,
    "update": _UPDATE,
    "patch": _UPDATE,
    "delete": _DELETE,
    "deletecollection": _DELETE,
}
_NAMES = {_CREATE: "Create", _READ: "Read", _UPDATE: "Update", _DELETE: "Delete"}
_SEVERITIES = {"low": (2, "Low"), "medium": (3, "Medium"), "high": (4, "High"), "critical": (5, "Critical")}
_INFORMATIONAL = (1, "Informational")
_STATUS = {"unknown": (0, "Unknown"), "success": (1, "Success"), "failure": (2, "Failure")}
_SUBRESOURCES_THAT_ACT = frozenset({"exec", "attach", "portforward", "proxy"})


def ocsf(known: Known, alert: Fired | None = None) -> dict[str, Any]:
    """The event's document, or that of an alert about it."""
    return _activity(known) if alert is None else _finding(known, alert)


def _activity(known: Known) -> dict[str, Any]:
    # Reading what a command prints is not reading an object: whatever the method, such a request acts.
    acts = known.subresource in _SUBRESOURCES_THAT_ACT
    activity = _OTHER if acts else _ACTIVITIES.get(known.verb, _OTHER)
    status_id, status = _STATUS[known.outcome]
    ended = {"end_time": _ms(known.at), "duration": _ms(known.at - known.received_at)} if known.over else {}
    return {
        **_head(API_ACTIVITY, "API Activity", 6, "Application Activity", activity, _NAMES.get(activity, known.verb)),
        **_severity(_INFORMATIONAL),
        "time": _ms(known.at),
        "start_time": _ms(known.received_at),
        **ended,
        "status_id": status_id,
        "status": status,
        "message": known.summary,
        "metadata": _metadata(known, f"{known.id}/{known.stage}"),
        **_who_and_what(known),
        "unmapped": _unmapped(known),
        **present(
            {"status_code": str(known.code or ""), "status_detail": known.message, "resources": _resources(known)}
        ),
    }


def _finding(known: Known, alert: Fired) -> dict[str, Any]:
    return {
        **_head(DETECTION_FINDING, "Detection Finding", 2, "Findings", _CREATE, "Create"),
        **_severity(_SEVERITIES[alert.severity]),
        "time": _ms(known.at),
        "status_id": 1,
        "status": "New",
        "is_alert": True,
        "message": f"{alert.rule}: {alert.reason}: {known.summary}",
        "finding_info": {
            "uid": alert.key,
            "title": alert.rule,
            "desc": alert.reason,
            "created_time": _ms(known.at),
            "analytic": {"type_id": 1, "type": "Rule", "name": alert.rule, "uid": alert.rule},
            "data_sources": ["audit.k8s.io/v1"],
            "related_events": [
                {"uid": f"{known.id}/{known.stage}", "type_uid": API_ACTIVITY * 100 + _OTHER, "type": "API Activity"}
            ],
        },
        "metadata": _metadata(known, alert.key),
        "evidences": [_who_and_what(known)],
        "unmapped": _unmapped(known),
        **present({"resources": _resources(known)}),
    }


def _head(
    class_uid: int, class_name: str, category_uid: int, category_name: str, activity: int, name: str
) -> dict[str, Any]:
    return {
        "class_uid": class_uid,
        "class_name": class_name,
        "category_uid": category_uid,
        "category_name": category_name,
        "activity_id": activity,
        "activity_name": name or "Other",
        "type_uid": class_uid * 100 + activity,
        "type_name": f"{class_name}: {_NAMES.get(activity, 'Other')}",
    }


def _severity(severity: tuple[int, str]) -> dict[str, Any]:
    return {"severity_id": severity[0], "severity": severity[1]}


def _metadata(known: Known, uid: str) -> dict[str, Any]:
    return {
        "version": OCSF_VERSION,
        "uid": uid,
        "product": {"name": PRODUCT, "vendor_name": VENDOR, "version": VERSION},
        "log_name": "audit.jsonl",
        "event_code": known.stage,
        **present({"correlation_uid": known.notes.get("session")}),
    }


def _who_and_what(known: Known) -> dict[str, Any]:
    path, _, query = known.uri.partition("?")
    return {
        "actor": _actor(known),
        "api": {
            "operation": known.verb or "unknown",
            "request": {"uid": known.id},
            "service": {"name": "kube-apiserver", **present({"uid": known.notes.get("connection")})},
            **present({"version": known.api_version, "group": present({"name": known.api_group})}),
            **present({"response": present({"code": known.code, "message": known.message})}),
        },
        "src_endpoint": {"ip": known.source} if known.source else {"name": "unknown"},
        "dst_endpoint": {"name": known.notes.get("connection") or "unknown"},
        "http_request": {
            "uid": known.id,
            "url": {"path": path or "/", **present({"query_string": query})},
            **present({"user_agent": known.user_agent}),
        },
        **present({"http_response": {"code": known.code} if known.code else None}),
    }


def _actor(known: Known) -> dict[str, Any]:
    extra, notes = known.extra, known.notes
    user = {"name": known.username or "unknown", **present({"groups": [{"name": name} for name in known.groups]})}
    policy = present({"name": notes.get("rule"), "desc": notes.get("reason") if notes.get("rule") else ""})
    authorization = present({"decision": notes.get("decision"), "policy": policy})
    return {
        "user": user,
        **present(
            {
                "invoked_by": extra.get("act"),
                "idp": present({"name": extra.get("iss"), "issuer": extra.get("iss")}),
                "session": present({"uid": notes.get("session"), "issuer": extra.get("iss")}),
                "authorizations": [authorization] if authorization else [],
            }
        ),
    }


def _resources(known: Known) -> list[dict[str, Any]]:
    if not known.resource:
        return []
    named = known.name or known.kind
    group = present({"name": known.api_group})
    return [{"name": named, "type": known.kind, **present({"namespace": known.namespace, "group": group})}]


def _unmapped(known: Known) -> dict[str, Any]:
    return {**present(known.notes), "stage": known.stage, "risk": known.risk}


def _ms(nanoseconds: int) -> int:
    return nanoseconds // 1_000_000
