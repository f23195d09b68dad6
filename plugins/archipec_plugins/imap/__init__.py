"""IMAP (RFC 9051, RFC 3501) as the source and the sink speak it: login, commands and their answers, folders, bodies."""
