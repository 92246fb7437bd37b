"""Proof by trouble: real processes, a real server, faults, and a checker that judges afterwards."""
