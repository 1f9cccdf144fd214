"""Access rules as documents, and the identity providers they name."""

from __future__ import annotations

from typing import Any

from addons.core.access_rule import AccessRules, compile_access
from addons.core.documents import Document, parse_documents
from addons.core.identity_provider import IdentityProvider

IDP = IdentityProvider(name="corp", issuer="https://idp", audiences=("c",), algorithms=frozenset({"RS256"}))
OTHER = IdentityProvider(name="partner", issuer="https://partner", audiences=("c",), algorithms=frozenset({"RS256"}))
FULL = """
apiVersion: chaperone/v1
kind: Access
metadata: {name: web}
spec:
  description: Agents of the web team.
  identityProvider: corp
  groups: [web-agents]
  subjects: [alice]
  connections: [prod]
  role: arn:aws:iam::123456789012:role/web
  durationSeconds: 1800
  scope: {namespaces: [web], resources: [pods, pods/log], verbs: [get, list]}
  intent: {pattern: "INC-[0-9]+ .+", example: INC-42 restart web}
  priority: 5
"""


def rule(name: str, **spec: Any) -> str:
    """An Access document for group g on connection prod, but for what `spec` says."""
    values = {"connections": "[prod]", "role": f"arn:aws:iam::123456789012:role/{name}", "groups": "[g]", **spec}
    body = "".join(f"  {key}: {value}\n" for key, value in values.items() if value is not None)
    return f"apiVersion: chaperone/v1\nkind: Access\nmetadata: {{name: {name}}}\nspec:\n{body}"


def documents(*texts: str) -> list[Document]:
    """The documents in these texts."""
    found, problems = parse_documents("---\n".join(texts), "rules/access.yaml")
    assert not problems
    return found


def rules(*texts: str) -> AccessRules:
    """The rules these texts make."""
    compiled, problems = compile_access(documents(*texts))
    assert not problems
    return compiled
