"""What tests of spells, tools and providers are made of. Nothing here is loaded by a run."""
