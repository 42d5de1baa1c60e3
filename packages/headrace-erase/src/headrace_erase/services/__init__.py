"""The erasure: its plan is confirmed, then the leader does it step by step."""
