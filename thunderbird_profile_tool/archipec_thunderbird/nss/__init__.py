"""The certificate and key databases of NSS, cert9.db and key4.db, read and written without NSS.

The formats are those of NSS 3.87 to 3.125, established by comparing with what NSS itself wrote. Whatever looks different
raises `UnknownFormat`, and nothing is written.
"""
