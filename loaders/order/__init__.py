"""The order of tracks: arithmetic on (seed, epoch, step), nothing stored."""
