"""GS1 standards: identification keys, the Core Business Vocabulary and EPCIS documents. Pure."""
