"""`make bench`: how fast Banyan is, as ratios against what the same work costs by hand (bench/README.md)."""
