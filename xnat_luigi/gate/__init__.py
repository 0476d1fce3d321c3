"""Where `intake` and `qc`, which know nothing of each other, meet. Knows no Luigi."""
