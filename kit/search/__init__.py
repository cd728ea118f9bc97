"""Searching a space for its best architectures under limits; who scores them is no matter here."""
