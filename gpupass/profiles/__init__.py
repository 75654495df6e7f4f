"""YAML text → Profile and back; pure: who reads files is handed in."""
