"""One cluster behind the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from addons.core.decision import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """`host` and `port` are what agents dial (the CONNECT target) and the only key policy uses to choose a cluster.

    `address` is where the gateway dials; `server_name` is the name verified in the cluster's certificate, against the
    CA bundle in the file `ca_file` (absolute path) and nothing else.
    """

    name: str
    host: str
    port: int
    address: tuple[str, int]
    server_name: str
    ca_file: str
    eks_cluster: str = ""
    region: str = ""
    sts_endpoint_url: str = ""
    """Empty: the region's public STS endpoint."""
    thresholds: Thresholds = Thresholds()
