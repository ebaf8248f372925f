"""The library behind the course: StyleGAN and StyleCLIP, from equations to trained models."""
