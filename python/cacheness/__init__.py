"""Typed cache and artifact store."""
