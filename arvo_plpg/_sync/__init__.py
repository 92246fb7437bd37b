"""The contract, function by function, on a borrowed synchronous connection. Pressed from _async."""
