"""Another installed package, whose families ask of a trainer what ours do not."""
