"""Networks that look at images: the training of CLIP, attribute classifiers and identity networks, and texts for CLIP."""
