"""Buckets: what the rows of a distributed database are spread by.

There, every table has a column `bucket`, first in its key. It is the first byte of the session's key, so that all rows
of a session have the same one. A statement about sessions names one bucket, for each of its tables, so the database
sends the whole statement to the one node that has that bucket. Plain databases have no such column.

The SQL is the same for both. Its words in braces are filled in one of two ways:

    {in_bucket}, {s.in_bucket}   a condition: bucket = :bucket AND, s.bucket = :bucket AND
    {in_place}, {s.in_place}     a condition: the key begins with the bucket's byte, which damage alone can change
    {of_role}                    a condition: the bucket of roles
    {bucket}                     the column, in a list of columns
    {bucket_value}, {target_bucket}, {role_bucket}   its value, in a list of values
    {now}                        the database's time, where a distributed database forbids a volatile function
"""

from collections.abc import Mapping

BUCKETS = 256
ROLES = 0
"""The bucket of the rows of `elections` that are about all sessions."""
PLAIN = {
    "in_bucket": "",
    "in_place": "",
    "of_role": "",
    "bucket": "",
    "bucket_value": "",
    "target_bucket": "",
    "role_bucket": "",
    "now": "{clock}",
}
DISTRIBUTED = {
    "in_bucket": "{alias}bucket = :bucket AND ",
    "in_place": "get_byte({alias}key, 0) = {alias}bucket AND ",
    "of_role": f"bucket = {ROLES} AND ",
    "bucket": "bucket, ",
    "bucket_value": ":bucket, ",
    "target_bucket": ":target_bucket, ",
    "role_bucket": f"{ROLES}, ",
    "now": "CAST(:now AS BIGINT)",
}


def words(*, distributed: bool) -> Mapping[str, str]:
    """What the words in braces mean."""
    return DISTRIBUTED if distributed else PLAIN


def bucket_of(key: bytes) -> int:
    """The bucket of a session's rows."""
    return key[0]
