"""Masking: agents and records see the same replies, without the secrets in them.

`rule` says which fields of which objects are masked, `detectors` how secrets in free text look, `plan` what happens
to the reply of a request, `masker` finds the plan, `refusals` says what is refused (such as placeholders sent back).
`paths` and `codec` are the tools: JSONPath as walkers, bytes to objects and back. A reply that cannot be masked raises
`Unmaskable`.
"""

from addons.core.masking.codec import Unmaskable
from addons.core.masking.compile import compile_masking
from addons.core.masking.masker import Masker, mask_reply
from addons.core.masking.placeholder import contains_placeholder
from addons.core.masking.plan import MaskPlan
from addons.core.masking.refusals import refuse_reply, refuse_request
from addons.core.masking.reply import Reply, StreamMasker

__all__ = [
    "MaskPlan",
    "Masker",
    "Reply",
    "StreamMasker",
    "Unmaskable",
    "compile_masking",
    "contains_placeholder",
    "mask_reply",
    "refuse_reply",
    "refuse_request",
]
