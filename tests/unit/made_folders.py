"""Published folders as tests make them up: records of a real one, some left out or changed."""

from fedgen_bench.results.contents import contents_of
from fedgen_bench.results.details import NOBODY, details_of
from fedgen_bench.results.environments import environments_text
from fedgen_bench.results.files import ENVIRONMENT, TIMING, left_out
from fedgen_bench.results.folders import write_together
from fedgen_bench.results.leaderboard import build_table
from fedgen_bench.results.published import open_folder
from fedgen_bench.suite.load import load_suite


def publish(folder, registry, of, records):
    """The folder of these records, as publishing writes it."""
    found = open_folder(of)
    suite = load_suite(found.source, registry)
    cells = {(one.contender, one.seed, one.digest): one for one in records}
    table = build_table(suite, records, registry)
    head, *timing = (of / TIMING).read_text().splitlines(keepends=True)
    names = {f"{one.contender},{one.seed}" for one in records}
    write_together(
        folder,
        {
            **contents_of(
                table,
                records,
                suite=suite,
                suite_text=found.source.text,
                registry=registry,
                but=left_out(registry, folder),
            ),
            **details_of(
                [one for one in found.messages if one[:3] in cells],
                [_of_record(one, cells[one[:3]]) for one in found.figures if one[:3] in cells],
            ),
            ENVIRONMENT: environments_text(records).encode(),
            TIMING: "".join([head, *(one for one in timing if one.rsplit(",", 2)[0] in names)]).encode(),
        },
    )


def _of_record(figure, record):
    """The figure; one of the whole run as the record has it."""
    whole = figure.round_index == figure.client_id == NOBODY
    return figure._replace(value=record.metrics[figure.name]) if whole else figure
