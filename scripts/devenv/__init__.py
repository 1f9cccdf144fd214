"""The development cluster: a real Kubernetes API server and the cloud identities around it, on this machine alone.

Read `cluster.py` first.  Nothing here is part of the gateway and nothing here imports it: tests and the demo judge the
gateway against these processes, so they must not share its code.  Every server listens on loopback only.
"""
