"""Access logs of API gateways: calls counted by consumer, route and minute."""
