"""The tabs of the page: results in, sections of tables and charts out."""
