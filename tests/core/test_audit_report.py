"""How remarks are read by people."""

from __future__ import annotations

from addons.core.audit_report import Report, What


def test_remarks_say_where_and_what() -> None:
    report = Report()
    report.find(What.CHANGED, "f", "it is not as it was", 3, "a", 7)
    report.find(What.LEDGER, "f", "no such chain", chain="a")
    report.note(What.TORN, "f", "a \x1b[31m line")
    assert [str(remark) for remark in [*report.findings, *report.notes]] == [
        "f:3 [a #7] changed: it is not as it was",
        "f [a] ledger: no such chain",
        "f torn: a \\x1b[31m line",
    ]
