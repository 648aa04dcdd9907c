"""The control API under /_sim/: whoever tests or demonstrates plays WeChat's users here."""
