"""An event broker and workflow memory for Arvo that live inside PostgreSQL."""
