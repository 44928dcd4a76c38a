"""The campaign: Algorithm 1 as a loop over a backend, and the store that remembers it."""
