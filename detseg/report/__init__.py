"""The HTML report and its pictures: nouns and metric results in, pixels and a page out."""
