"""What a step needs of memory: counted before it starts, and explained when it was not there."""
