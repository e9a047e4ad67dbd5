"""The kinds of data sets, one file each: its settings and what opens it. The name is the kind."""
