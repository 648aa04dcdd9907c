"""What runs beside requests: the clock, the workers, and everything that leaves."""
