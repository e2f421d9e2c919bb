"""What only makes training and prediction faster, each part removable."""
