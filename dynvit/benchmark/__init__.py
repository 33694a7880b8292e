"""One command from nothing to a Pareto front: train what needs training, sweep, record, publish."""
