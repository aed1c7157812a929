"""The command `fcnn`: parser in `main`, one module for what each group of commands does."""
