"""Incidents: evidence is gathered from what the store keeps, causes are found (`observe.diagnosis`) and kept as incidents.

`gathering` turns rows into evidence, one file a kind of row; `keeping` matches causes with the incidents that are open; `closing`
ends those whose evidence is gone and whose consumers are served again.
"""
