"""Figures and ratios, measured side by side with the named peer in one run. Not tests: nothing here can fail a build."""
