"""The first report, until the pipeline measures what the page of ``detseg.report.first.page`` shows."""
