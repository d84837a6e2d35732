"""The only room that knows Label Studio.

tasks_file    a dataset as tasks that another server imports, with their annotations
server        EmbeddedLabelStudio: the server that detseg starts itself; up(), down(), status()
install       the server's own environment in the user's cache folder
client        LabelStudioClient: the few requests that we make; only what may be repeated is retried
label_config  the labeling interface from the taxonomy, and the check that a project still fits it
fitting       which regions an interface takes that somebody edited
project       ensure_project: what a project needs before tasks are sent
codec         encode_task, decode_task: our regions <-> Label Studio's results
results       regions <-> the results of one prediction or annotation (used by codec)
joining       which results are one instance
shapes        what annotators are asked for, what masks are drawn as, and why
shown         what of a prediction annotators see, kept with it when it is sent
values        the value of one result: a box or a mask
brush, bits, bitmask   masks <-> Label Studio's run lengths and PNGs
changes       TaskReader: which tasks changed, which there are, how many in a range
listing       TaskLister: pages of tasks, whatever is in them (used by client, changes, predictions)
filters       the data manager's queries (used by client, changes, predictions, tabs)
tabs          show_in_tab, remove_tab: some of a project's tasks under a name
reviews       one annotation as a review, with a line for whatever in it cannot be read
webhook       the receiver of the server's calls, and how the server gets to know of it
release       which Label Studio answers at an address, asked without a token
session, auth, json_body, responses  requests, tokens, their JSON, and what an answer means (used by client)
"""
