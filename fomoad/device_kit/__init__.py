"""What an embedded engineer needs to run an int8 model with TFLite Micro: C99 code, tables, test vectors."""
