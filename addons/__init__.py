"""Chaperone: supervised, just-in-time access to Kubernetes for autonomous agents.

The vocabulary, in the order a request meets it:

* **Exchange** (`exchange.py`): everything the gateway knows of one request and its reply, one field per addon.
* **Connection**: one cluster behind the gateway, by the name and port agents dial.
* **Identity**: who the caller is, made only by a verified token, in OIDC claim names.
* **KubeRequest**: what the caller asks, in the API server's own RequestInfo terms.
* **Grant**: the just-in-time right: which role, for which identity, until when. No grant, no access.
* **Decision**: what the guardrails make of it: `ALLOW < WARN < REQUIRE_APPROVAL < DENY`.
* **Approval**: a human's answer, bound to the digest of exactly one request.
* **Session**: one agent's job on one cluster; the unit of recording and replay.

Start reading at `stack.py`: the list there is the architecture.
"""
