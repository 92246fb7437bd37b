"""The worker's run time: routes, deliveries, the loop, wake-ups and heartbeats."""
