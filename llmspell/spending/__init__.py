"""What runs spend on models: prices, budgets, and who pays for which call."""
