"""Built-in privacy mechanisms, and what they are made of."""
