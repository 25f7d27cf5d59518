"""Kills of real processes under load. The short ones run with `make test`, the long ones with `make chaos`."""
