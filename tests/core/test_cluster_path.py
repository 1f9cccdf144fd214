from __future__ import annotations

import pytest

from addons.core.cluster_path import path_of, split


@pytest.mark.parametrize(
    ("target", "found"),
    [
        pytest.param("/clusters/prod/api/v1/pods?watch=1", ("prod", "/api/v1/pods?watch=1"), id="path and query"),
        pytest.param("/clusters/prod", ("prod", "/"), id="nothing behind it"),
        pytest.param("/clusters/prod/", ("prod", "/"), id="a slash behind it"),
        pytest.param("/clusters/prod?x=/clusters/b/", ("prod", "/?x=/clusters/b/"), id="query alone"),
        pytest.param("/clusters/Eu.prod_1-a/version", ("Eu.prod_1-a", "/version"), id="every character"),
        pytest.param("/clusters/prod//api", ("prod", "//api"), id="what follows is not made better"),
        pytest.param("/clusters/prod/../b/api", ("prod", "/../b/api"), id="nor are dots"),
        pytest.param("/clusters//api", ("", "/api"), id="empty"),
        pytest.param("/clusters/./api", ("", "/api"), id="dot"),
        pytest.param("/clusters/../api", ("", "/api"), id="dots"),
        pytest.param("/clusters/pr%6fd/api", ("", "/api"), id="escaped"),
        pytest.param("/clusters/a%2Fb/api", ("", "/api"), id="escaped slash"),
        pytest.param("/clusters/prod;a/api", ("", "/api"), id="parameter"),
        pytest.param("/clusters/prod\\/api", ("", "/api"), id="backslash"),
        pytest.param("/clusters/pr\udcc3d/api", ("", "/api"), id="no ASCII"),
        pytest.param("/clusters/prod\n/api", ("", "/api"), id="line feed"),
        pytest.param("/clusters", None, id="the folder"),
        pytest.param("/Clusters/prod/api", None, id="another case"),
        pytest.param("//clusters/prod/api", None, id="two slashes"),
        pytest.param("/clusters/prod#/api", None, id="fragment"),
        pytest.param("/api/clusters/prod", None, id="elsewhere"),
        pytest.param("*", None, id="asterisk"),
    ],
)
def test_split(target: str, found: tuple[str, str] | None) -> None:
    assert split(target) == found


@pytest.mark.parametrize("name", ["prod", "Eu.prod_1-a", "0"])
def test_a_path_leads_back_to_its_name(name: str) -> None:
    assert split(f"{path_of(name)}/version") == (name, "/version")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "é", "-a", "a%2Fb"])
def test_a_name_without_a_path(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a path"):
        path_of(name)
