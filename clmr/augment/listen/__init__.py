"""The augmentations to hear and to see: sound files with pictures, or one page. Nothing of the method needs this."""
