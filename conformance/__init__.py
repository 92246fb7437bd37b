"""Conformance: does a client in any language mean the same by the contract? See README.md."""
