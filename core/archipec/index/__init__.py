"""What can be searched: from the bytes of a message to words, and from words to messages."""
