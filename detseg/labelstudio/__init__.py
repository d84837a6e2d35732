"""The only room that knows Label Studio.

server        EmbeddedLabelStudio: the server that detseg starts itself; up(), down(), status()
install       the server's own environment in the user's cache folder
client        LabelStudioClient: the few requests that we make; only what may be repeated is retried
label_config  the labeling interface from the taxonomy, and the check that a project still fits it
project       ensure_project, ensure_storages, image_url: what a project needs before tasks are sent
codec         encode_task, decode_task: our regions <-> Label Studio's results
brush         encode_brush, decode_brush: masks <-> Label Studio's brush run lengths
results       regions <-> the results of one prediction or annotation (used by codec)
session, auth, wire   requests, tokens, and what an answer means (used by client)
"""
