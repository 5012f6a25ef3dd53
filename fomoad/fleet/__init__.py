"""Many products, a model each: a table of rows, one training a row, and a page of all."""
