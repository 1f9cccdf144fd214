"""Who is believed without a CA that is named for them: whoever the machine trusts, a company's own CA included."""

import os
import ssl
from functools import cache

import httpx


@cache
def machine_trust() -> ssl.SSLContext:
    """The machine's trust store. Reading it takes long enough to be done once, before the event loop has work."""
    return ssl.create_default_context()


def person_trust() -> ssl.SSLContext:
    """For what people run themselves: the same, or httpx's list of public CAs on a machine that has no store.

    What `SSL_CERT_FILE` and `SSL_CERT_DIR` name is the store, also if it is not there.
    """
    paths = ssl.get_default_verify_paths()
    found = paths.cafile or paths.capath or os.environ.keys() & {paths.openssl_cafile_env, paths.openssl_capath_env}
    return machine_trust() if found else httpx.create_ssl_context(trust_env=False)
