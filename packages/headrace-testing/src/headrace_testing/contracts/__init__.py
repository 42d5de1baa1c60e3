"""Contract suites for kinds of installed packages: subclass one, and pytest runs its tests.

    from headrace_testing.contracts import CheckContract

    class TestCheckDigit(CheckContract):
        kind = CheckDigit
        check = "check_digit: {column: ean}"
        good = ({"ean": "4006381333931"}, {"ean": None})
        bad = ({"ean": "4006381333930"},)

Each test's docstring says which fault it catches. The suites need pytest's fixture `tmp_path`.
"""

from headrace_testing.contracts.checks import CheckContract, evaluate_check
from headrace_testing.contracts.exports import ExportContract
from headrace_testing.contracts.formats import FormatContract
from headrace_testing.contracts.sources import SourceContract

__all__ = [
    "CheckContract",
    "ExportContract",
    "FormatContract",
    "SourceContract",
    "evaluate_check",
]
