"""This process among its peers: joining them, averaging with them, and ending with them when one fails."""
