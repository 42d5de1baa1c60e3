"""The delay ledger: where the time went that a consumer waited, in segments that follow each other and add up exactly.

`account.Books` is the entry; all but `stored` and `freezing` are pure, and ask `records.Records` for rows.
"""
