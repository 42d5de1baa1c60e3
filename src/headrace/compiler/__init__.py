"""Compilation of a project's folder: reads its files, keeps results, and starts helper processes.

What the files mean is computed by the pure packages below it. `compiling` compiles a project,
`lineage` returns the column lineage of a compiled one, `project_files` reads each file once.
"""
