"""The lines of the table, one module each. A line is a function that takes the `World` and gives rows."""
