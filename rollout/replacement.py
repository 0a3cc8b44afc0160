"""When the candidate of a running rollout may be replaced by another one."""

from rollout.messages import ReplaceCandidate
from rollout.progress import RolloutProgress


def why_no_image(command: ReplaceCandidate) -> str | None:
    """Which image is none; asked before a command is taken, and not again of one that was."""
    blank = [key for key, image in command.images.items() if not image or len(image.split()) > 1]
    return f"images.{blank[0]} is {command.images[blank[0]]!r}, expected is an image without spaces" if blank else None


def why_not_replaced(progress: RolloutProgress, command: ReplaceCandidate) -> str | None:
    """What speaks against it, as the end of a sentence; None where it may be done."""
    unknown = sorted(set(command.images) - set(progress.images))
    if unknown:
        are = "is no service" if len(unknown) == 1 else "are no services"
        return f"{', '.join(unknown)} {are} of the plan; it has: {', '.join(progress.images)}"
    if progress.turning_back:
        return "a step back or a replacement is being done; one at a time"
    if progress.images | command.images == progress.images:
        return "these images are being rolled out already"
    if not command.reason:
        return "it takes everybody back to features off, and needs a reason"
    return None
