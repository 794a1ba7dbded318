"""Measurements against peers; every result names its machine, versions, date and command."""
