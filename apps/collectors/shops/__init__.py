"""Shops, marketplaces and notices to customers: how their messages are read, and how a shop is compared with its webhooks."""
