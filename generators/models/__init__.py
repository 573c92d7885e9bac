"""The papers' networks as plain torch modules, and the generators that they make."""
