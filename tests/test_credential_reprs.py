"""Nothing that holds a credential shows it when it is printed, as in a log line, an error or a debugger's output."""

from __future__ import annotations

import ssl
from pprint import pformat

import pytest
from botocore.credentials import Credentials as Keys

from addons.core.authorization import Bearer
from addons.core.own_user import OwnUser, PluginAnswer, _ExecCredential
from addons.core.secret import Secret
from addons.core.sign_in import Tokens
from addons.edge.credentials import Minted
from addons.edge.own_credential import OwnCredential
from addons.edge.sts import Role
from addons.exchange import Exchange

VALUE = "hunter2-the-credential"
BEARER = Bearer(Secret(VALUE))
ROLE = Role(Keys(VALUE, VALUE, VALUE), 1.0)
ANSWER = PluginAnswer(token=VALUE, certificate="", key=VALUE, expires_at=None)
MINTED = Minted(connection="c", bearer=BEARER, minted_at=0, renew_at=1, usable_until=2, held=ROLE)
EXEC = {"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": VALUE, "clientKeyData": VALUE}}


@pytest.mark.parametrize(
    "holder",
    [
        pytest.param(BEARER, id="what a cluster accepts"),
        pytest.param(ROLE, id="a role session"),
        pytest.param(MINTED, id="a credential with the session that it is made of"),
        pytest.param(Exchange(received_at=0, credential=BEARER), id="an exchange"),
        pytest.param(OwnUser.model_validate({"token": VALUE, "client-key-data": VALUE}), id="the gateway's own user"),
        pytest.param(ANSWER, id="a plugin's answer"),
        pytest.param(_ExecCredential.model_validate(EXEC), id="a plugin's answer as it came"),
        pytest.param(OwnCredential(context=ssl.create_default_context(), token=BEARER, answer=ANSWER), id="its own"),
        pytest.param(Tokens(id_token=VALUE, refresh_token=VALUE, expires_at=1.0), id="what a person signed in with"),
    ],
)
def test_it_is_not_shown(holder: object) -> None:
    shown = f"{holder} {holder!r} {[holder]} {pformat({'holder': holder})} {Exception(holder)!r}"
    assert "hunter2" not in shown
