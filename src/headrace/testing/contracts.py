"""Contract suites for kinds of installed packages: subclass one, and pytest runs its tests.

    from headrace.testing.contracts import CheckContract

    class TestCheckDigit(CheckContract):
        kind = CheckDigit
        check = "check_digit: {column: ean}"
        good = ({"ean": "4006381333931"}, {"ean": None})
        bad = ({"ean": "4006381333930"},)

Each test's docstring says which fault it catches. The suites need pytest's fixture `tmp_path`.
"""

from headrace.testing.check_contract import CheckContract, evaluate_check
from headrace.testing.export_contract import ExportContract
from headrace.testing.format_contract import FormatContract
from headrace.testing.source_contract import SourceContract

__all__ = [
    "CheckContract",
    "ExportContract",
    "FormatContract",
    "SourceContract",
    "evaluate_check",
]
