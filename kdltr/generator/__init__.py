"""Words made from nothing: fonts, lettering, surfaces, light, and a camera that blurs them."""
