"""Where a published figure comes from: formula, inputs, landed rows, the sums that must agree, a check elsewhere."""
