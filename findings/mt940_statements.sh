#!/usr/bin/env bash
# mt-940 5.1.1 reads a file with statements of two accounts as one: its data has the account and the balances of the
# last statement, and no movement says to which account it belongs, so that 1 EUR of DE1 stands below the USD account
# DE2. The year 99, which is 1999 in SWIFT's dates (80 to 99 are of the last century), is 2099. Nothing is raised. Exits
# with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mt-940==5.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import mt940

STATEMENT = ":20:R\n:25:{account}\n:28C:1/1\n:60F:C{day}{opening}\n:61:{day}C1,00NTRFX\n:62F:C{day}{closing}\n-\n"
first = STATEMENT.format(account="DE1", day="991231", opening="EUR1000,00", closing="EUR1001,00")
second = STATEMENT.format(account="DE2", day="240102", opening="USD5,00", closing="USD6,00")
read = mt940.parse(first + second)
data = {name: str(value) for name, value in read.data.items()}
print("mt-940", version("mt-940"))
for name in ("account_identification", "final_opening_balance", "final_closing_balance"):
    print(f"{name:24} {data[name]}")
for movement in read:
    print("movement", movement.data["date"], movement.data["amount"], "account_identification" in movement.data)
same = (
    data["account_identification"] == "DE2"
    and "5.00 USD" in data["final_opening_balance"]
    and [str(movement.data["date"]) for movement in read] == ["2099-12-31", "2024-01-02"]
    and not any("account_identification" in movement.data for movement in read)
)
sys.exit(0 if same else 1)
PYTHON
