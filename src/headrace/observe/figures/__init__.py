"""Figures about work, causes, sources and readers over a window (SEMANTICS §7). Pure: rows come in, figures and the rows that they are
made of come out. Nothing is summed over layers, nothing is said of what nobody saw.
"""
