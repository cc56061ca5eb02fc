import pytest

from realtime_proxy.config.pushpin_settings import Settings
from realtime_proxy.config.pushpin_stats import converted_metrics, converted_stats
from realtime_proxy.config.schema import Metrics, Stats


@pytest.fixture
def converted(tmp_path):
    """What becomes of a pushpin.conf: statistics, metrics, and the notes about both."""

    def converted(text=""):
        file = tmp_path / "pushpin.conf"
        file.write_text(text)
        settings = Settings.read(file)
        stats, metrics = converted_stats(settings), converted_metrics(settings)
        assert not list(settings.not_asked())
        return Stats(**stats), Metrics(**metrics), [str(note) for note in settings.notes]

    return converted


def test_pushpin_tells_statistics_unless_it_is_told_not_to(converted, tmp_path):
    stats, metrics, notes = converted()
    assert stats == Stats(pub=f"ipc://{tmp_path}/run/pushpin-stats", report_interval_seconds=10)
    assert (metrics, notes) == (Metrics(), [])
    assert converted("[handler]\nstats_spec=\n")[0].pub == ""


def test_everything_is_carried_over(converted):
    stats, metrics, notes = converted(
        """
        [global]
        stats_connection_ttl=100
        stats_connection_send=false
        [handler]
        stats_spec=tcp://127.0.0.1:5570
        stats_format=json
        stats_subscription_ttl=50
        stats_report_interval=7
        prometheus_port=127.0.0.1:9100
        prometheus_prefix=pp_
        """
    )
    assert stats == Stats(
        pub="tcp://127.0.0.1:5570",
        format="json",
        connections=False,
        connection_ttl_seconds=100,
        subscription_ttl_seconds=50,
        report_interval_seconds=7,
    )
    assert metrics == Metrics(listen="127.0.0.1:9100", prefix="pp_")
    assert notes == []


def test_no_reports_stay_no_reports(converted):
    assert converted("[handler]\nstats_report_interval=-1\n")[0].report_interval_seconds == 0


def test_what_was_open_stays_open_with_a_warning(converted):
    stats, metrics, notes = converted("[handler]\nstats_spec=tcp://*:1\nprometheus_port=9100\n")
    assert (stats.pub, stats.allow_unauthenticated) == ("tcp://*:1", True)
    assert (metrics.listen, metrics.allow_unauthenticated) == ("0.0.0.0:9100", True)
    assert sum("WARNING" in note for note in notes) == 2


def test_the_port_of_the_proxy_part_counts_if_it_is_the_only_one(converted):
    alone = "[proxy]\nprometheus_port=127.0.0.1:1\nprometheus_prefix=a_\n"
    assert converted(alone)[1:] == (Metrics(listen="127.0.0.1:1", prefix="a_"), [])
    _, metrics, [note] = converted(f"{alone}[handler]\nprometheus_port=ipc:///run/metrics\n")
    assert metrics == Metrics(listen="unix:/run/metrics")
    assert "has the metrics of both" in note


def test_what_makes_no_sense_is_noted(converted):
    stats, metrics, notes = converted(
        "[handler]\nstats_spec=nonsense\nstats_format=xml\nprometheus_port=x\nprometheus_prefix=1-\n"
    )
    assert (stats.pub, stats.format) == ("", "tnetstring")
    assert metrics == Metrics()
    assert len(notes) == 4
