"""A small synthesiser: a song is drawn (score), written out in notes (compose), played (instruments) and recorded."""
