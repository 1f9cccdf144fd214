"""mitmproxy's modules as they are, whatever of them has been replaced in this process by now."""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any


@cache
def pristine(name: str) -> Any:
    """A second copy of the module `name`: its functions and classes are its own, what it imports is everybody's."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
