"""The archive: evidence as numbered parts in a bucket, which are never written twice. What is pure about it."""
