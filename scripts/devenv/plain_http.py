"""HTTP without TLS, to this machine, past any proxy.

httpx reads the machine's whole trust store for each client, which takes 15 ms; these trust nobody, and need not.
"""

import ssl
from functools import partial

import httpx

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

get = partial(httpx.get, trust_env=False, verify=_NOBODY)
post = partial(httpx.post, trust_env=False, verify=_NOBODY)
client = partial(httpx.Client, trust_env=False, verify=_NOBODY)
async_client = partial(httpx.AsyncClient, trust_env=False, verify=_NOBODY)
