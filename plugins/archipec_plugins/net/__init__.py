"""What the plugins that talk to a mail server share: how to reach it, and the connection itself."""
