"""What happens when nobody is asking: messages leave, commissions settle, figures are folded."""
