"""Real chat front ends written by others, to drive NERV against. They answer from the playground's `reply_for`."""
