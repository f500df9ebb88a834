"""Faults of every kind, injected into real processes under traffic, and one checker that says what broke."""
