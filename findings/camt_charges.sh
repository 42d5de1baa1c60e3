#!/usr/bin/env bash
# pycamt 1.1.1 reads an incoming payment of 97.50 EUR, which is 100.00 less a charge of 2.50, as a debit of 100.00: the
# direction is that of the charge, the first CdtDbtInd below the transaction, and the amount is the one before the
# charge, though the entry says 97.50 CRDT. Nothing is raised. Exits with 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycamt==1.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

from pycamt.parser import Camt053Parser


def balance(kind: str, amount: str) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{amount}</Amt>"
        "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2024-01-31</Dt></Dt></Bal>"
    )


ENTRY = (
    "<Ntry><Amt Ccy='EUR'>97.50</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>"
    "<BookgDt><Dt>2024-01-31</Dt></BookgDt><ValDt><Dt>2024-01-31</Dt></ValDt>"
    "<BkTxCd><Prtry><Cd>1</Cd></Prtry></BkTxCd><NtryDtls><TxDtls>"
    "<Refs><EndToEndId>E</EndToEndId></Refs>"
    "<AmtDtls><TxAmt><Amt Ccy='EUR'>100.00</Amt></TxAmt></AmtDtls>"
    "<Chrgs><Amt Ccy='EUR'>2.50</Amt><CdtDbtInd>DBIT</CdtDbtInd></Chrgs></TxDtls></NtryDtls></Ntry>"
)
document = (
    "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'><BkToCstmrStmt>"
    "<GrpHdr><MsgId>1</MsgId><CreDtTm>2024-01-31T00:00:00</CreDtTm></GrpHdr>"
    "<Stmt><Id>S</Id><CreDtTm>2024-01-31T00:00:00</CreDtTm>"
    "<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id></Acct>"
    f"{balance('OPBD', '0.00')}{balance('CLBD', '97.50')}{ENTRY}</Stmt></BkToCstmrStmt></Document>"
)
(read,) = Camt053Parser(document).get_transactions()
print("pycamt", version("pycamt"))
print("the entry  97.50 CRDT")
print("read as   ", read["Amount"], read["CreditDebitIndicator"])
sys.exit(0 if (read["Amount"], read["CreditDebitIndicator"]) == ("100.00", "DBIT") else 1)
PYTHON
