"""The kinds of rule documents, each with the model that loads it: what a rules folder may hold."""

from __future__ import annotations

from collections.abc import Mapping

from addons.core import access_rule, connection, console, identity_provider, saml_provider
from addons.core.access_spec import AccessSpec
from addons.core.connection import ConnectionSpec
from addons.core.console import ConsoleSpec
from addons.core.documents import SpecModel
from addons.core.guardrails import catalogue, freeze, guardrail
from addons.core.guardrails.catalogue import CatalogueSpec
from addons.core.guardrails.freeze import FreezeWindowSpec
from addons.core.guardrails.models import GuardrailSpec
from addons.core.identity_provider import IdentityProviderSpec
from addons.core.masking.models import DetectorSpec, MaskingSpec
from addons.core.notify import channel
from addons.core.notify.channel import NotificationSpec
from addons.core.pipelines import pipeline
from addons.core.pipelines.models import PipelineSpec
from addons.core.saml_provider import SamlProviderSpec

KINDS: Mapping[str, type[SpecModel]] = {
    connection.KIND: ConnectionSpec,
    identity_provider.KIND: IdentityProviderSpec,
    saml_provider.KIND: SamlProviderSpec,
    console.KIND: ConsoleSpec,
    access_rule.KIND: AccessSpec,
    guardrail.KIND: GuardrailSpec,
    freeze.KIND: FreezeWindowSpec,
    catalogue.KIND: CatalogueSpec,
    "Masking": MaskingSpec,
    "Detector": DetectorSpec,
    channel.KIND: NotificationSpec,
    pipeline.KIND: PipelineSpec,
}
"""In the order a request meets them."""
