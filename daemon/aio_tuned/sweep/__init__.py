"""One sweep of one target: order, budget, run, checkpoint, findings, and the resulting profile."""
