"""What a person types at Google's own command line, where a command of ours cannot do it or takes long."""

from rollout.traffic import ServiceAnchor


def gcloud_line(anchor: ServiceAnchor) -> str:
    """Gives a service the traffic that it had before the first change."""
    ref = anchor.service
    revisions = ",".join(f"{revision}={share}" for revision, share in sorted(anchor.split.shares.items()))
    return (
        f"gcloud run services update-traffic {ref.service} --project={ref.project} --region={ref.region} "
        f"--to-revisions={revisions}"
    )
