"""The viewer: a local page on which one person reads what was archived. It shows, and changes nothing but marks."""
