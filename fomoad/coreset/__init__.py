"""Selection of few rows of a matrix that stand for all of them."""
