"""Gymnasium adapters: spaces, reset, step, and nothing that an equation could go wrong in."""
