"""What runs spend on models: prices, budgets, and the accounts that are charged."""
