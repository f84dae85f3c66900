"""What the service counts. Labels are a fixed vocabulary; nothing here can name a study."""

from prometheus_client import Counter, Gauge, Histogram

STUDIES = Counter("articula_studies_total", "Studies answered, by outcome and code.", ["outcome", "code"])
STUDIES_IN_WORK = Gauge("articula_studies_in_work", "Studies admitted and not yet answered.")
STAGE_SECONDS = Histogram(
    "articula_stage_seconds",
    "Wall clock of one stage of one study.",
    ["stage"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)
