"""The write-ahead journal: run, roll back, resume. It knows no GPU."""
