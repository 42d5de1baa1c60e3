#!/usr/bin/env bash
# workalendar 17.0.0 lacks holidays of 2026 that holidays 0.109 has: 19 June in the United States, 24 December in
# Poland, Easter Sunday and 4 October in Italy, 6 May and 22 September in Japan. holidays, for its part, leaves out
# Easter Monday and the bank holiday of August for GB without a subdivision, which it has for England, so that a
# calendar of "GB" works on them. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109 workalendar==17.0.0
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import holidays
from workalendar.registry import registry

print(*(f"{name} {version(name)}" for name in ("holidays", "workalendar")))
seen = {}
for country in ("US", "PL", "IT", "JP"):
    other = {day for day, _ in registry.get(country)().holidays(2026)}
    missing = {day: name for day, name in holidays.country_holidays(country, years=2026, language="en_US").items()}
    seen[country] = [f"{day}" for day in sorted(missing) if day not in other]
    print(f"{country}, only in holidays:", ", ".join(f"{day} {missing[day]}" for day in sorted(missing) if day not in other))
england = set(holidays.GB(years=2026, subdiv="ENG"))
seen["GB"] = [f"{day}" for day in sorted(england - set(holidays.GB(years=2026)))]
print("GB, only with subdiv='ENG':", ", ".join(seen["GB"]))
right = {
    "US": ["2026-06-19"],
    "PL": ["2026-12-24"],
    "IT": ["2026-04-05", "2026-10-04"],
    "JP": ["2026-05-06", "2026-09-22"],
    "GB": ["2026-04-06", "2026-08-31"],
}
sys.exit(0 if seen == right else 1)
PYTHON
