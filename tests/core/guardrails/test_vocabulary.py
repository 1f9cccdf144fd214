from __future__ import annotations

from addons.core.guardrails.cel import VARIABLES
from addons.core.guardrails.facts import Facts, variables
from addons.core.guardrails.selftest import request_of
from addons.core.guardrails.vocabulary import DESCRIPTIONS


def test_every_variable_is_described_with_its_fields() -> None:
    assert DESCRIPTIONS.keys() == VARIABLES.keys()
    facts = Facts(request=request_of("GET /version"))
    for name, value in variables(facts, frozenset(VARIABLES)).items():
        for key in value if isinstance(value, dict) else ():
            assert f"{key}`" in DESCRIPTIONS[name] or f"`{key}." in DESCRIPTIONS[name], f"{name}.{key}"
