"""What a caller asks of Kubernetes, in the API server's own terms.

Source: `RequestInfo` in k8s.io/apiserver/pkg/endpoints/request/requestinfo.go, plus what the connect subresources
take from their query (PodExecOptions, PodPortForwardOptions in k8s.io/api/core/v1).
"""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.delete_options import NO_OPTIONS, DeleteOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeRequest:
    """One request, read once. `""` means core group, all namespaces, or a collection, as in the API server."""

    method: str
    path: str
    """Percent-decoded once, canonical: no empty, `.` or `..` segment, no trailing slash."""
    query: tuple[tuple[str, str], ...] = ()
    """Pairs in order, as Go's `url.Query()` reads them."""
    target: str = ""
    """`path` and `query` in one canonical spelling: what is sent upstream and what an approval is bound to."""
    is_resource_request: bool = False
    verb: str = ""
    api_prefix: str = ""
    api_group: str = ""
    api_version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    parts: tuple[str, ...] = ()
    field_selector: str = ""
    label_selector: str = ""
    dry_run: bool = False
    """Nothing is stored. In a DELETE with a body the body decides, and the query does not count."""
    delete_options: DeleteOptions = NO_OPTIONS
    """Of a DELETE: those of its body, without a body those of its query."""
    upgrade: str = ""
    """The protocol the connection becomes: `websocket`, `spdy`, or `""`."""
    argv: tuple[str, ...] = ()
    container: str = ""
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False
    ports: tuple[int, ...] = ()

    @property
    def is_connect(self) -> bool:
        """True for the subresources that open a stream into a pod or node, whatever the method (exec by GET too)."""
        return (self.resource, self.subresource) in CONNECT_SUBRESOURCES and not self.api_group

    def first(self, key: str) -> str:
        """The first value of a query parameter, `""` when absent: how the API server reads scalar options."""
        return next((value for name, value in self.query if name == key), "")


CONNECT_SUBRESOURCES = frozenset(
    {
        ("pods", "exec"),
        ("pods", "attach"),
        ("pods", "portforward"),
        ("pods", "proxy"),
        ("services", "proxy"),
        ("nodes", "proxy"),
    }
)
