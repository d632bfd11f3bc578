"""Rollouts on common random numbers, the session log, metrics and their intervals."""
