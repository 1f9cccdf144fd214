"""Where rules are read from."""

from __future__ import annotations

from pathlib import Path

from addons.edge.rulefiles import read_rules

DOCUMENT = "{{apiVersion: chaperone/v1, kind: {kind}, metadata: {{name: n}}, spec: {{}}}}\n"


def test_every_yaml_file_below_the_folders_in_order(tmp_path: Path) -> None:
    for name in ("b/x.yaml", "a.yaml", "b/.hidden.yaml", "c.yaml.example", "d.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(DOCUMENT.format(kind=name))
    documents, problems = read_rules([str(tmp_path)])
    assert problems == []
    assert [document.kind for document in documents] == ["a.yaml", "b/x.yaml"]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """As the kubelet lays it: files in a dated folder, a link to that folder, and a link to each file through it."""
    dated = tmp_path / "..2026_11_25_10_00_00.1"
    dated.mkdir()
    (dated / "x.yaml").write_text(DOCUMENT.format(kind="Guardrail"))
    (tmp_path / "..data").symlink_to(dated.name)
    (tmp_path / "x.yaml").symlink_to("..data/x.yaml")
    documents, problems = read_rules([str(tmp_path)])
    assert problems == []
    assert [document.file for document in documents] == [str(tmp_path / "x.yaml")]


def test_what_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe")
    documents, problems = read_rules([str(tmp_path), str(tmp_path / "nowhere")])
    assert documents == []
    assert {problem.message.split(":")[0] for problem in problems} == {"cannot be read", "no such rules folder"}
