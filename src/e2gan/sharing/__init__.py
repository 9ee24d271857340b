"""Models from a hub, and to it: adapters, bases and models from scratch, as their repositories hold them."""
