"""Off-policy evaluation as a command: from a log and a policy to a table, numbers and a picture."""
