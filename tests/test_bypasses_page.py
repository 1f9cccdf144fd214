"""docs/bypasses.md says what the tests do: no id without an end-to-end test or a note, no test of an unknown id."""

from __future__ import annotations

from scripts.bypasses_page import END_TO_END, PAGE, bypasses, page, tests_by_id

ENTRIES = {each.id: each for _, entries in bypasses().values() for each in entries}
SPAN = {
    "A": ("B-01", "B-08"),
    "B": ("B-10", "B-1A"),
    "C": ("B-20", "B-29"),
    "D": ("B-30", "B-43"),
    "E": ("B-50", "B-55"),
    "F": ("B-60", "B-69"),
    "G": ("B-70", "B-78"),
    "H": ("B-80", "B-88"),
}


def test_every_id_is_there_once_and_in_order() -> None:
    sections = {section: [each.id for each in entries] for section, (_, entries) in bypasses().items()}
    assert {section: (ids[0], ids[-1]) for section, ids in sections.items()} == SPAN
    assert sum(len(ids) for ids in sections.values()) == len(ENTRIES) == 78


def test_every_id_is_tried_through_a_whole_gateway_or_says_what_to_do_instead() -> None:
    tried = {each for each, files in tests_by_id().items() if files[0].startswith(END_TO_END)}
    assert {each.id for each in ENTRIES.values() if not each.note} - tried == set()


def test_tests_name_known_ids() -> None:
    assert set(tests_by_id()) - set(ENTRIES) == set()


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m scripts.bypasses_page"
