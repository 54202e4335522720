"""Ocean carriers: the codes of DCSA."""
