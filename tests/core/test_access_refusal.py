from __future__ import annotations

from tests.core.access_documents import FULL, rules
from tests.core.test_access import ROLE_EDIT, on_request, refusal, session


def test_nothing_is_given_before_it_is_granted_and_the_command_is_told() -> None:
    found = refusal(rules(on_request(intent="{pattern: 'INC-[0-9]+ .+', example: INC-42 it is}")), session())
    assert found.hint == f"chaperone request --connection prod --role {ROLE_EDIT} --intent 'INC-42 it is' --for 1800s"
    assert "at most 1800s, with an intent of the form INC-[0-9]+ .+" in found.why
    assert "chaperone request" not in refusal(rules(on_request(), FULL), session(groups=("web-agents",))).hint
