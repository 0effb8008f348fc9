"""Addresses of Postgres databases, as libpq and all that builds on it write them.

`parameters` lists what an address may say, `address` reads one, `connector` connects by it. The server, `migrate` and
`import` all come through here, so that one URL means the same to each.
"""
