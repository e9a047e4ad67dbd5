"""Networks and blocks that more than one family uses. Loadable without any training code."""
