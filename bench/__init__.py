"""The benchmark: ours and its peers, measured beside each other in one run.

This package's top and ``peers/*/driver.py`` use the standard library only: drivers run in the
virtual environments of the peers, where nothing else of this project is installed.
"""
