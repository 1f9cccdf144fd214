"""Reading kubeconfigs that others wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from addons.core.kubeconfig import UnusableKubeconfig


def read_kubeconfig(file: Path) -> dict[str, Any]:
    """The document in a file. Raises UnusableKubeconfig."""
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableKubeconfig(f"{file} cannot be read: {getattr(error, 'strerror', 'no text')}") from None
    except yaml.YAMLError as error:  # whose text quotes the line, which may be a token's
        mark = getattr(error, "problem_mark", None)
        raise UnusableKubeconfig(
            f"{file} is no kubeconfig: no YAML{f', line {mark.line + 1}' if mark else ''}"
        ) from None
    if not isinstance(document, dict):
        raise UnusableKubeconfig(f"{file} is no kubeconfig")
    return document
