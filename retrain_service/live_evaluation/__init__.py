"""How versions do on what came true after they answered."""
