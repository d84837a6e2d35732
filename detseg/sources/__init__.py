"""The places that images come from: one store per scheme of addresses, each with the two verbs of
``protocol.Store``.

    sources = Sources(Limits(), stores={})     # registry: by scheme, or by a manifest's suffix
    sources.entries("s3://bucket/photos")      # lists, as it goes, and reads no image
    sources.read("s3://bucket/photos/a.jpg")   # the bytes of one

folder     files of this machine
objects    S3, Google Cloud, Azure and whatever else fsspec knows
web        https, guarded against private addresses (addresses, guarded)
manifest   CSV, JSONL and Parquet that list images of any of these, with what else is known about them
"""
