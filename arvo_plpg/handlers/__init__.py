"""The three kinds of handlers: stateless, resumable, and state machine."""
