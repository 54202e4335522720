"""Event channels: messages read from brokers, kept by the batch, acknowledged when what was read is committed."""
