"""What the formats of files share: folders, names, streams, manifests, tables of contents."""
