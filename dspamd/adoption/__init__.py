"""A rehearsal on a live site of DSPAM 3.10.2: what is there, what will differ, what to do; all by reading."""
