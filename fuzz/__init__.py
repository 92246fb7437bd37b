"""Hostile input: every function of the contract, with arguments that nobody should send.

    python -m fuzz --inputs 100000 --seed 7

What is called is read from the catalogue, so a new function is tried without anybody adding it.
"""
