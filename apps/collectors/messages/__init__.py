"""Message logs of middleware: which message passed which hop, and what lies in its queues."""
