"""The list of sources is consistent with itself."""

from pipeline.sources import SOURCES, source_named


def test_every_source_has_its_own_name_and_is_found_by_it() -> None:
    names = [source.name for source in SOURCES]
    assert len(set(names)) == len(names)
    assert all(source_named(source.name) is source for source in SOURCES)
    assert source_named("anthropic") is None


def test_every_dataset_names_its_source_and_recognises_only_its_own() -> None:
    for source in SOURCES:
        assert {dataset.source for dataset in source.datasets} == {source.name}
        assert source.recognise("anything", b"") is None
        assert source.recognise("anything", b"\x89PNG\r\n\x1a\n") is None


def test_every_table_starts_with_its_bucket_and_day_and_ends_with_what_is_unknown() -> None:
    for source in SOURCES:
        for table in (table for dataset in source.datasets for table in dataset.tables):
            columns = list(table.schema)
            assert (columns[:2], columns[-1]) == (["bucket", "usage_date"], "other_columns")
