"""What every room needs and no user asks for: errors, choices, files written whole, processes."""
