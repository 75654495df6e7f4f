"""Verbs, tables and exit codes."""

import gc

gc.set_threshold(50_000, 20, 50)  # importing makes much and leaves little garbage: a tenth of a verb's CPU
