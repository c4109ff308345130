"""What will hurt a DataLoader with workers, told before it does: facts, gathered apart, and checks on them."""
