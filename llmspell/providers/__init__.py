"""Models: messages, the providers that implement each wire protocol, and the choice of a model."""
