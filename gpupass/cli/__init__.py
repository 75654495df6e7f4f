"""Verbs, tables and exit codes."""
