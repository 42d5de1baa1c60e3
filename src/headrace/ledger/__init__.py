"""The delay ledger: where a consumer's wait went, in contiguous segments that add up exactly.

Start with `account.Books`. All modules but `stored_records` and `frozen` are pure and read rows
through `records.LedgerRecords`.
"""
