"""Plain values that every floor may use: headers, heads, items, close reasons."""
