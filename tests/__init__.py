"""Tests: unit/ mirrors the code, integration/ has real parts, chaos/ kills them."""
