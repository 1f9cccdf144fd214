"""Guardrails: rules that add risk to what a grant allows. No match is risk 0; a rule that cannot be evaluated denies.

`models` is the document as people write it, `matching` its structural half, `cel` its condition, `facts` what a
condition may refer to (`freeze`, `rate`, `blast_radius`: of time and extent), `ruleset` the compiled whole with
`candidates → needs → judge`, `selftest` the tests each rule carries.
"""

from addons.core.guardrails.effective import EffectiveObject, Objects, Sent, ServerRefusal, Unanswered
from addons.core.guardrails.facts import Facts, Needs
from addons.core.guardrails.guardrail import Guardrail
from addons.core.guardrails.rate import Rate
from addons.core.guardrails.record import Judged
from addons.core.guardrails.ruleset import GuardrailSet, compile_guardrails

__all__ = [
    "EffectiveObject",
    "Facts",
    "Guardrail",
    "GuardrailSet",
    "Judged",
    "Needs",
    "Objects",
    "Rate",
    "Sent",
    "ServerRefusal",
    "Unanswered",
    "compile_guardrails",
]
