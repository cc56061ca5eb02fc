"""The ways to publish, and the one ordered door behind them."""
