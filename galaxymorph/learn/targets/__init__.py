"""What a model predicts: labels, heads, losses and epoch metrics of each target."""
