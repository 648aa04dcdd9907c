"""The doors people and shops come in by: the shop API, pages, operation and the command line."""
