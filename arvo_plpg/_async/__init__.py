"""The contract, function by function, on a borrowed asynchronous connection."""
