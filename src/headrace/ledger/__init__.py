"""The delay ledger: where a consumer's wait went, in contiguous segments that add up exactly.

`account.Books` is the entry. All but `stored_records` and `frozen` are pure and ask `records.LedgerRecords` for rows.
"""
