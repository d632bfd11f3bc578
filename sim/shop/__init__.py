"""The shop: one step of one customer, its equations, its people, its camera and its till."""
