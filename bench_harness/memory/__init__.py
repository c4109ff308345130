"""Memory instruments: the reader of memray captures, and what DataLoader workers hold for themselves."""
