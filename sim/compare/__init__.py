"""`python -m sim.compare`: policies of finished runs beside each other, on the same customers with the same luck."""
