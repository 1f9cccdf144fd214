"""Conventions are tests: purity, budgets, one broad except, a test for every core module."""

from __future__ import annotations

import ast
import statistics
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ADDONS = ROOT / "addons"
ALL = sorted(path.relative_to(ROOT).as_posix() for path in ADDONS.rglob("*.py"))
CORE = [path for path in ALL if path.startswith("addons/core/")]
THIN = [path for path in ALL if path.count("/") == 1]

PURE = frozenset(
    "__future__ abc addons ast base64 binascii bisect cel_expr_python codecs collections contextlib copy dataclasses"
    " datetime decimal difflib enum fnmatch functools gzip hashlib hmac html io ipaddress itertools json jsonpath_ng"
    " math operator orjson pydantic pydantic_core re re2 shlex string struct textwrap types typing unicodedata urllib"
    " wsproto yaml zlib zoneinfo".split()  # zoneinfo: reads nothing but the system's time zone data, when rules load
)
IMPURE_CALLS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}

MAX_LINES = 250
MAX_FUNCTION = 40
MAX_ADDON = 80
# Each with its reason; a file that is not here stays within the budget.
LARGER_ADDONS = {
    "addons/access.py": "waits for the store where access is on request",
    "addons/approvals.py": "asks, waits, and remembers what the cluster declined",
    "addons/archive_settings.py": "part of the settings model, not an addon",
    "addons/capture.py": "seven hooks: a record follows a flow from its first event to its last",
    "addons/connections.py": "what client connections lead to, not an addon",
    "addons/exchange.py": "a field for every step, not an addon",
    "addons/gateway.py": "the composition of a worker, not an addon",
    "addons/parts.py": "the composition of what a worker has, not an addon",
    "addons/protocol_errors.py": "mitmproxy's own answers in our words, not an addon",
    "addons/policy.py": "composition of the rule kinds, not an addon",
    "addons/settings.py": "the settings model, not an addon",
    "addons/expiry.py": "four hooks and a look at what runs",
    "addons/fast_layers.py": "faster forms of mitmproxy's own functions, not an addon",
    "addons/idle.py": "connections out of mitmproxy's hands and back into them, not an addon",
    "addons/inline.py": "the handler of a connection, and its outermost layer, not an addon",
    "addons/limits.py": "six hooks: a client is followed from its first byte to its last",
    "addons/lingering.py": "a protocol of asyncio's, not an addon",
    "addons/http1.py": "stricter forms of mitmproxy's own functions, not an addon",
    "addons/master.py": "the mitmproxy master, not an addon",
    "addons/refusal.py": "fail-closed dispatch for every kind of event, not an addon",
    "addons/shipping.py": "what `chaperone ship` runs, not an addon",
    "addons/speed.py": "faster forms of mitmproxy's own functions, not an addon",
    "addons/tls.py": "two TLS ends",
    "addons/upgrade_layer.py": "a protocol layer of mitmproxy's, not an addon",
    "addons/stack.py": "a line for every step",
    "addons/question.py": "what a human is asked, and what the answer is bound to, not an addon",
    "addons/perimeter.py": "three hooks and the refusals they give",
}
LARGER_FILES = {"addons/core/builtin_resources.py": "a generated table"}


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which for a command is its help."""
    described = ast.get_docstring(function) is not None
    text = function.body[0] if described else None
    return (function.end_lineno or 0) - function.lineno + 1 - ((text.end_lineno or 0) - text.lineno + 1 if text else 0)


@cache
def tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), path)


@cache
def nodes(path: str) -> list[ast.AST]:
    return [*ast.walk(tree(path))]


@cache
def imported(path: str) -> set[str]:
    modules: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    return modules


@pytest.mark.parametrize("path", CORE)
def test_core_is_pure(path: str) -> None:
    modules = imported(path)
    assert {module.split(".")[0] for module in modules} <= PURE
    assert {
        module for module in modules if module.startswith("addons.") and not module.startswith("addons.core")
    } == set()
    calls = {
        (node.value.id, node.attr)
        for node in nodes(path)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert calls & IMPURE_CALLS == set()


@pytest.mark.parametrize("path", [path for path in ALL if path.startswith("addons/edge/")])
def test_the_edge_looks_down_only(path: str) -> None:
    """It knows the core and what an exchange is; what it acts on is given to it."""
    ours = {module for module in imported(path) if f"{module}.".startswith("addons.")}
    assert {each for each in ours if not each.startswith(("addons.core", "addons.edge", "addons.exchange"))} == set()


@pytest.mark.parametrize("path", CORE)
def test_every_core_module_has_a_test(path: str) -> None:
    """A module that only declares types is exempt; a package's modules share the tests of the package."""
    functions = [node for node in nodes(path) if isinstance(node, ast.FunctionDef)]
    if all(function.name.startswith("__") or function.decorator_list for function in functions):
        return
    module = Path(path).relative_to("addons/core")
    pattern = f"test_{module.stem}*.py" if len(module.parts) == 1 else f"{module.parts[0]}/test_*.py"
    assert list((ROOT / "tests" / "core").glob(pattern)), f"no tests/core/{pattern}"


@pytest.mark.parametrize("path", ALL)
def test_files_and_functions_stay_small(path: str) -> None:
    lines = (ROOT / path).read_text().count("\n")
    assert path in LARGER_FILES or lines <= MAX_LINES
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert length(node) <= MAX_FUNCTION, node.name


@pytest.mark.parametrize("path", THIN)
def test_addons_are_thin(path: str) -> None:
    assert path in LARGER_ADDONS or (ROOT / path).read_text().count("\n") <= MAX_ADDON


def test_functions_are_short_in_the_median() -> None:
    lengths = [
        length(node) for path in ALL for node in nodes(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(lengths) < 10


def test_one_broad_except() -> None:
    broad = {
        path
        for path in ALL
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    }
    assert broad == {"addons/refusal.py"}


@pytest.mark.parametrize("path", ALL)
def test_every_module_says_what_it_does(path: str) -> None:
    module = tree(path)
    assert ast.get_docstring(module)
    public = [
        node
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_no_ambient_names() -> None:
    assert [path for path in ALL if Path(path).name in ("utils.py", "helpers.py", "common.py", "misc.py")] == []
