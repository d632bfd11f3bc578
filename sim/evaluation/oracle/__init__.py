"""Policies that know what no agent may know: upper references for regret, never in `agents/`."""
